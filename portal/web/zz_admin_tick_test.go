//go:build adminpreview

package web

import "time"

func tick() <-chan time.Time { return time.After(300 * time.Millisecond) }
