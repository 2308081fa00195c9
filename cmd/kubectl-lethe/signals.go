package main

import (
	"os"
	"sync"
)

// farewell is what is said when the program is told to end at once. It is safe for
// concurrent use; its zero value says nothing.
type farewell struct {
	mu   sync.Mutex
	text string
}

func (f *farewell) set(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = text
}

func (f *farewell) get() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text
}

// obey calls cancel at the first signal, so that everything ends in order, and at once
// at the second.
func obey(signals <-chan os.Signal, cancel, atOnce func()) {
	for _, do := range []func(){cancel, atOnce} {
		if _, open := <-signals; !open {
			return
		}
		do()
	}
}
