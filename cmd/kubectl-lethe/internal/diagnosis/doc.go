// Package diagnosis says in plain words why a run waits, stands still or failed, and
// what can be done about it.
//
// Gather reads, with the rights of whoever asks; what may not be read is left out and
// said so, because an ordinary user may neither see nodes nor the Pods of others. The
// rest is pure. The status is what counts: what the operator words there, and its hint,
// are repeated as they are, and events, nodes and the dataset only support them. What
// each reason means to a person is written down in reasons.go, all of them.
package diagnosis
