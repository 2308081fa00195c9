// Package preferences is what people choose for themselves: which of the optional mails
// they get.
//
// Only the kinds of portal.OptionalMails are a choice. What the store keeps are the
// unwanted ones, so that a kind that comes to the list later is wanted until somebody says
// otherwise.
package preferences
