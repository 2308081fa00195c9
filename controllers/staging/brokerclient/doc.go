// Package brokerclient speaks the broker's protocol: the stager's agent, kubectl-lethe
// and the portal ask the broker through it.
//
// It asks once and says by Retryable whether another try is worth while; how long
// to go on is the caller's decision, because only the caller knows what waiting
// costs. The token is asked for before every request, so a rotated one is used at
// once. It goes to the given address only: redirects are not followed and proxies
// of the environment are not used.
//
// HTTP/1.1 is spoken on purpose: a request that ran into its timeout takes its
// connection along, so the next one reaches another replica of the operator. With
// HTTP/2 all later requests would queue up on the same dead connection.
package brokerclient
