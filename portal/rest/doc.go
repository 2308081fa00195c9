// Package rest answers programs: the JSON API under /api/v1 for what a person's own pages
// do, described by openapi.yaml, which a test holds true in both directions.
//
// Decisions:
//   - Bearer API tokens only. Cookies are taken off the request before anything sees it, so
//     no site can make a browser use this API for the person who is signed in there; there
//     are no CORS headers either.
//   - A token reaches what its scopes name. What needs a step-up (making a token, changing
//     a factor) stays in the browser; staff's permissions have no scope at all.
//   - Datasets and runs are the same use cases that the pages have; what they refuse comes
//     with a pointer to the member at fault.
//   - A program names what it makes by an Idempotency-Key. The ID comes of account and key,
//     so nothing has to be kept, and the draft of the account's form is left alone.
//   - Errors are problem+json (RFC 9457) with the words of a portal.Error; anything else is
//     a 500 that says no more than its request id.
package rest
