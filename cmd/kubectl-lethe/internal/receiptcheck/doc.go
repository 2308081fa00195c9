// Package receiptcheck holds signed receipts against public keys and against each
// other, and describes them for people. It is pure: files in, verdicts and text out.
//
// Receipts need not come in the order of their chain, nor without gaps: of those that
// are given, each two that are neighbours in the chain must fit, and one place of
// the chain must not be taken by two different ones.
package receiptcheck
