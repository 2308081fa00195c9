package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Each of these gives a function that reads one kind of setting into a variable. What they
// refuse is said in their errors; the caller adds where it came from.

func text(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(value string) error {
		parsed, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*to = parsed
		return nil
	}
}

func number(to *int, least, most int) func(string) error {
	return func(value string) error {
		parsed, err := strconv.Atoi(value)
		if err != nil || parsed < least || parsed > most {
			return fmt.Errorf("%q is not a number from %d to %d", value, least, most)
		}
		*to = parsed
		return nil
	}
}

// maxDrain bounds how long a shutdown may be made to take.
const maxDrain = 10 * time.Minute

func duration(to *time.Duration) func(string) error {
	return func(value string) error {
		parsed, err := time.ParseDuration(value)
		if err != nil || parsed < 0 || parsed > maxDrain {
			return fmt.Errorf("%q is not a time up to %s, such as 10s", value, maxDrain)
		}
		*to = parsed
		return nil
	}
}

func words(to *[]string) func(string) error {
	return func(value string) error {
		*to = nil
		for word := range strings.SplitSeq(value, ",") {
			if word = strings.TrimSpace(word); word != "" {
				*to = append(*to, word)
			}
		}
		return nil
	}
}

func prefixes(to *[]netip.Prefix) func(string) error {
	return func(value string) error {
		var all []netip.Prefix
		for word := range strings.SplitSeq(value, ",") {
			word = strings.TrimSpace(word)
			if word == "" {
				continue
			}
			prefix, err := netip.ParsePrefix(word)
			if address, addressErr := netip.ParseAddr(word); addressErr == nil {
				prefix, err = address.Prefix(address.BitLen())
			}
			if err != nil {
				return fmt.Errorf("%q is not a network such as 10.0.0.0/8", word)
			}
			if prefix.Bits() == 0 {
				return fmt.Errorf("%q is the whole world: everybody could say who a client is", word)
			}
			all = append(all, prefix)
		}
		*to = all
		return nil
	}
}

func proxyHeader(to *string) func(string) error {
	return func(value string) error {
		for _, known := range []string{"X-Forwarded-For", "Forwarded"} {
			if strings.EqualFold(value, known) {
				*to = known
				return nil
			}
		}
		return fmt.Errorf("%q is neither X-Forwarded-For nor Forwarded", value)
	}
}

func mailTLS(implicit *bool) func(string) error {
	return func(value string) error {
		switch value {
		case "starttls":
			*implicit = false
		case "implicit":
			*implicit = true
		default:
			return fmt.Errorf("%q is neither starttls nor implicit; mail does not go without TLS", value)
		}
		return nil
	}
}

func level(to *slog.Level) func(string) error {
	return func(value string) error {
		if err := to.UnmarshalText([]byte(value)); err != nil {
			return errors.New("the level is debug, info, warn or error")
		}
		return nil
	}
}
