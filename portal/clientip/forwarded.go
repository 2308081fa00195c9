package clientip

import "strings"

// maxEntry is how long an entry of a forwarding header may be, in bytes. A longer one is
// read as one that is no address.
const maxEntry = 512

// lastOfList cuts off what stands after the last comma.
func lastOfList(list string) (rest, entry string, more bool) {
	from := max(len(list)-maxEntry, 0)
	at := strings.LastIndexByte(list[from:], ',')
	if at < 0 {
		return "", list, false
	}
	return list[:from+at], list[from+at+1:], true
}

// lastElement cuts off what stands after the last comma that is not in quotes. It reads
// from the right, since only there can the quotes be trusted: a client that opens quotes
// and doesn't close them would swallow what our proxy wrote behind them.
func lastElement(list string) (rest, entry string, more bool) {
	quoted := false
	for at := len(list) - 1; at >= 0 && len(list)-at <= maxEntry; at-- {
		switch list[at] {
		case '"':
			if !escaped(list, at) {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				return list[:at], list[at+1:], true
			}
		}
	}
	return "", list, false
}

// escaped reports whether an odd number of backslashes stands before a place.
func escaped(text string, at int) bool {
	backslashes := 0
	for at--; at >= 0 && text[at] == '\\'; at-- {
		backslashes++
	}
	return backslashes%2 == 1
}

// forNode is the node in an element's parameter "for" (RFC 7239, 4): for=192.0.2.43 or
// for="[2001:db8::17]:4711". It is false without one, with two, and for what no proxy
// has a reason to write.
func forNode(element string) (string, bool) {
	if len(element) > maxEntry {
		return "", false
	}
	node, found := "", false
	for element != "" {
		var pair string
		pair, element = firstPair(element)
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if found {
			return "", false
		}
		node, found = value, true
	}
	if inner, ok := strings.CutPrefix(node, `"`); ok {
		inner, ok = strings.CutSuffix(inner, `"`)
		return inner, ok && found && !strings.ContainsAny(inner, `"\`)
	}
	// Outside of quotes there can be no brackets and no colon (RFC 7230, 3.2.6).
	return node, found && !strings.ContainsAny(node, ` "\[]:`)
}

// firstPair cuts off what stands before the first semicolon that is not in quotes.
func firstPair(element string) (pair, rest string) {
	quoted := false
	for at := range len(element) {
		switch element[at] {
		case '"':
			if !escaped(element, at) {
				quoted = !quoted
			}
		case ';':
			if !quoted {
				return element[:at], element[at+1:]
			}
		}
	}
	return element, ""
}
