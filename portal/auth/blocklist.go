package auth

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/lethe-dev/lethe/portal"
)

// common are words that passwords are commonly made of, one a line. Lists of common
// passwords hold next to nothing with 15 characters, so the block-list is what is derived
// from the words: any few of them with digits and marks around, repetitions, and walks
// over the keyboard. That is far more than the 3,000 that ASVS 5.0, 6.2.4 asks for.
//
//go:embed common.txt
var common string

var commonWords = sync.OnceValue(func() map[string]bool { return wordSet(strings.Fields(common)) })

func wordSet(words []string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, w := range words {
		set[w] = true
	}
	return set
}

// Costs of the parts of a password. One whose parts cost no more than maxCost together,
// and of which at least one is common, is among the first that are guessed. So three
// common words with two digits are refused, and four are not.
const (
	costWord   = 4 // also a walk or a run
	costShort  = 2 // a word of up to three letters
	costMark   = 1 // any other digit or mark
	costLetter = 3 // any other letter: few people add those
	maxCost    = 14

	minWalk = 4
	minRun  = 3
	maxWord = 32
)

// minDistinct is how many different characters a password has at least.
const minDistinct = 5

// guessable says why a password in normal form is refused; "" for one that is not. Known
// are words about the person and the service.
func guessable(password string, known []string) string {
	text := []rune(strings.ToLower(password))
	if period(text) < minPassword || distinct(text) < minDistinct {
		return "This password repeats the same few characters. Use one with more different ones; a few random words make a good one."
	}
	const better = "Use a few random words that have nothing to do with each other."
	if cheap(text, commonWords()) {
		return "This password is made of common words, names or keys in a row, which are guessed first. " + better
	}
	if len(known) > 0 && cheap(text, wordSet(append(known, strings.Fields(common)...))) {
		return "This password is made of your address, the name of this service, or common words, which are guessed first. " + better
	}
	return ""
}

// cheap reports whether a text is made of few parts, with or without what is between words.
func cheap(text []rune, words map[string]bool) bool {
	bare := slices.DeleteFunc(slices.Clone(text), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	if 3*len(bare) < 2*len(text) { // more than between words
		bare = text
	}
	for _, t := range [][]rune{text, bare, unleet(text), unleet(bare)} {
		if cost(t, words) <= maxCost {
			return true
		}
	}
	return false
}

// never is more than any password costs.
const never = 1 << 20

// cost is what the cheapest way costs to put a text together; never, when no part of it is
// common. It takes time in proportion to the length.
func cost(text []rune, words map[string]bool) int {
	// best[i] is for text[:i]; plain is what it costs without a common part.
	best := make([]int, len(text)+1)
	for i := range best {
		best[i] = never
	}
	plain := 0
	for i, c := range text {
		here := min(plain, best[i])
		reach := func(n, price int) { best[i+n] = min(best[i+n], here+price) }
		best[i+1] = min(best[i+1], best[i]+otherCost(c))
		plain += otherCost(c)
		for n := 1; n <= min(maxWord, len(text)-i); n++ {
			if words[string(text[i:i+n])] {
				reach(n, wordCost(n))
			}
		}
		for n := walk(text[i:]); n >= minWalk; n-- {
			reach(n, costWord)
		}
		for n := run(text[i:]); n >= minRun; n-- {
			reach(n, costWord)
		}
	}
	return best[len(text)]
}

func otherCost(c rune) int {
	if unicode.IsLetter(c) {
		return costLetter
	}
	return costMark
}

func wordCost(n int) int {
	if n <= 3 {
		return costShort
	}
	return costWord
}

// rows are ways over a keyboard and through alphabets; each is also walked backwards, and
// digits on from the end.
var rows = sync.OnceValue(func() []string {
	ways := []string{
		"12345678901234567890123456789012", "01234567890123456789012345678901",
		"qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp",
		"1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "a1b2c3d4e5f6g7h8i9j0", "1a2b3c4d5e6f7g8h9i0j", "!@#$%^&*()_+",
		"!\"§$%&/()=?", "asdfjkl;", "zxcvbnm,./", "147258369", "789456123", "1234qwerasdfzxcv",
	}
	for _, w := range ways[:len(ways):len(ways)] {
		back := []rune(w)
		slices.Reverse(back)
		ways = append(ways, string(back))
	}
	return ways
})

// walk is how many characters at the start of a text are a walk.
func walk(text []rune) int {
	longest := 0
	for _, row := range rows() {
		for longest < len(text) && strings.Contains(row, string(text[:longest+1])) {
			longest++
		}
	}
	return longest
}

// run is how many characters at the start of a text are the same.
func run(text []rune) int {
	n := 0
	for n < len(text) && text[n] == text[0] {
		n++
	}
	return n
}

// period is the length of the shortest text whose repetition, the last perhaps cut off,
// is the whole; at least twice, else it is the whole length.
func period(text []rune) int {
	for p := 1; p*2 <= len(text); p++ {
		if slices.Equal(text[p:], text[:len(text)-p]) {
			return p
		}
	}
	return len(text)
}

func distinct(text []rune) int {
	seen := map[rune]bool{}
	for _, c := range text {
		seen[c] = true
	}
	return len(seen)
}

// unleet writes letters for the digits and marks that stand for them.
func unleet(text []rune) []rune {
	letters := map[rune]rune{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '@': 'a', '$': 's', '!': 'i', '8': 'b'}
	out := slices.Clone(text)
	for i, c := range out {
		if l, ok := letters[c]; ok {
			out[i] = l
		}
	}
	return out
}

// contextWords are words about a person and the service (NIST SP 800-63B-4, 3.1.1.2).
func contextWords(issuer string, email portal.Email) []string {
	local, domain, _ := strings.Cut(email.Key(), "@")
	words := []string{local}
	split := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }
	words = append(words, strings.FieldsFunc(local, split)...)
	words = append(words, strings.FieldsFunc(domain, split)...)
	words = append(words, strings.FieldsFunc(strings.ToLower(issuer), split)...)
	words = append(words, strings.Join(strings.FieldsFunc(local, split), ""), strings.Join(strings.FieldsFunc(strings.ToLower(issuer), split), ""))
	return slices.DeleteFunc(words, func(w string) bool { return len(w) < 3 })
}
