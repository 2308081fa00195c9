package main

import (
	"flag"
	"fmt"
	"strconv"
	"time"
)

// declaration declares flags that a variable may set, too, and collects what is wrong
// with the variables.
type declaration struct {
	flags  *flag.FlagSet
	env    func(string) string
	failed []error
}

func (d *declaration) text(into *string, name, variable, fallback, help string) {
	if value := d.env(variable); value != "" {
		fallback = value
	}
	d.flags.StringVar(into, name, fallback, help+" ("+variable+")")
}

func (d *declaration) duration(into *time.Duration, name, variable string, fallback time.Duration, help string) {
	if s := d.env(variable); s != "" {
		value, err := time.ParseDuration(s)
		if err != nil || value < 0 {
			d.failed = append(d.failed, fmt.Errorf("%s is not a duration such as 90s or 6h", variable))
		}
		fallback = value
	}
	d.flags.DurationVar(into, name, fallback, help+" ("+variable+")")
}

func (d *declaration) number(into *int, name, variable string, fallback int, help string) {
	if s := d.env(variable); s != "" {
		value, err := strconv.Atoi(s)
		if err != nil || value < 0 {
			d.failed = append(d.failed, fmt.Errorf("%s is not a number from 0", variable))
		}
		fallback = value
	}
	d.flags.IntVar(into, name, fallback, help+" ("+variable+")")
}

func (d *declaration) truth(into *bool, name, variable, help string) {
	value := false
	if s := d.env(variable); s != "" {
		var err error
		if value, err = strconv.ParseBool(s); err != nil {
			d.failed = append(d.failed, fmt.Errorf("%s is neither true nor false", variable))
		}
	}
	d.flags.BoolVar(into, name, value, help+" ("+variable+")")
}
