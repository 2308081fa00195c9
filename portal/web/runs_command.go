package web

import (
	"errors"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// errNoWords says what people most often get wrong: there is no shell in between.
var errNoWords = errors.New("no shell runs this, so |, &&, >, $ and ; do nothing here; put what has to be taken as it is in 'single quotes', or run a shell: sh -c '…'")

// splitWords splits a line as a POSIX shell would, and refuses what only a shell could do.
func splitWords(text string) ([]string, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n") // as browsers send lines
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX), syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, errors.New("a quote is not closed, or a character needs quotes around it")
	}
	if commented(file) {
		return nil, errors.New("# begins a comment here; put it in 'single quotes'")
	}
	var words []string
	for _, statement := range file.Stmts {
		call, ok := statement.Cmd.(*syntax.CallExpr)
		if !ok || len(statement.Redirs) > 0 || statement.Negated || statement.Background || statement.Semicolon.IsValid() {
			return nil, errNoWords
		}
		if len(call.Assigns) > 0 {
			return nil, errors.New("variables have a field of their own, the environment")
		}
		for _, word := range call.Args {
			value, ok := literal(word.Parts, "")
			if !ok {
				return nil, errNoWords
			}
			words = append(words, value)
		}
	}
	return words, nil
}

// commented reports whether a part of the text would be left out.
func commented(file *syntax.File) bool {
	found := false
	syntax.Walk(file, func(node syntax.Node) bool {
		_, comment := node.(*syntax.Comment)
		found = found || comment
		return true
	})
	return found
}

// literal is a word that is what is written there and nothing else. A backslash takes away
// what the next character means; where escapes is not "", only for the characters in it.
func literal(parts []syntax.WordPart, escapes string) (string, bool) {
	var text strings.Builder
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			text.WriteString(unescaped(p.Value, escapes))
		case *syntax.SglQuoted:
			text.WriteString(p.Value)
		case *syntax.DblQuoted:
			inner, ok := literal(p.Parts, "$`\"\\")
			if !ok {
				return "", false
			}
			text.WriteString(inner)
		default:
			return "", false
		}
	}
	return text.String(), true
}

func unescaped(text, escapes string) string {
	var out strings.Builder
	escaped := false
	for _, r := range text {
		switch {
		case escaped && escapes != "" && !strings.ContainsRune(escapes, r):
			out.WriteRune('\\')
		case !escaped && r == '\\':
			escaped = true
			continue
		}
		escaped = false
		out.WriteRune(r)
	}
	if escaped {
		out.WriteRune('\\')
	}
	return out.String()
}

// joinWords writes words so that splitWords gives them again.
func joinWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quoteWord(word)
	}
	return strings.Join(quoted, " ")
}

// special is a word that a shell takes for more than a word: one that sets a variable, or
// begins a statement.
var special = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\+?=.*|if|then|else|elif|fi|do|done|case|esac|while|until|for|in)$`)

func quoteWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,+@%", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" && !special.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
