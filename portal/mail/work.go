package mail

import (
	"fmt"
	"math"
	"time"
)

// about names the run or dataset that a mail is about, in the person's own word.
func (f facts) about() []fact { return []fact{{"Name", f.name}} }

// open leads to the page of what the mail is about.
func (f facts) open(label string) *action { return &action{Label: label, URL: f.link} }

// also adds what more is known of what happened.
func (f facts) also(say ...string) []string {
	if f.text != "" {
		say = append(say, f.text)
	}
	return say
}

func runStarted(f facts) words {
	return words{
		subject: "Your run has started",
		say: []string{
			fmt.Sprintf("Your run started on %s. Its page shows the progress and the log as they come.", f.at()),
		},
		facts:  f.about(),
		action: f.open("Watch the run"),
		notYou: []string{"Somebody else is in your account, or has one of your API tokens. Choose a new password at once, end the sessions that you don't know, and revoke the tokens."},
		rescue: f.newPassword(),
	}
}

func runFinished(f facts) words {
	return words{
		subject: "Your run has finished",
		say:     f.also(fmt.Sprintf("Your run finished on %s. What it has made waits on its page.", f.at())),
		facts:   f.about(),
		action:  f.open("See what it has made"),
	}
}

func runFailed(f facts) words {
	return words{
		subject: "Your run has failed",
		say:     append(f.also(fmt.Sprintf("Your run failed on %s.", f.at())), "Its page shows the end of its log, and from there you can start it again."),
		facts:   f.about(),
		action:  f.open("See what happened"),
	}
}

func runStopped(f facts) words {
	return words{
		subject: "Your run was stopped by its limits",
		say: append(f.also(fmt.Sprintf("Your run was stopped on %s, because it had reached a limit that was set when it was started.", f.at())),
			"If it has saved checkpoints, a new run can go on from the newest of them."),
		facts:  f.about(),
		action: f.open("See the run"),
	}
}

func datasetExpires(f facts) words {
	when := "soon"
	facts := f.about()
	if !f.ends.IsZero() {
		when = soon(f.ends.Sub(f.when))
		facts = append(facts, fact{"Erased on", moment(f.ends)})
	}
	return words{
		subject: "A dataset will be erased soon",
		say: []string{
			fmt.Sprintf("All files of this dataset will be erased %s: then its time with us is over. Nobody can bring them back after that, and neither can we.", when),
			"You don't have to do anything. If you still want to train with it, start the run before then.",
		},
		facts:  facts,
		action: f.open("See the dataset"),
	}
}

// soon says how far away something is.
func soon(left time.Duration) string {
	const day = 24 * time.Hour
	switch days := int(math.Round(left.Hours() / day.Hours())); {
	case left < day:
		return "in less than a day"
	case days == 1:
		return "in a day"
	default:
		return fmt.Sprintf("in %d days", days)
	}
}

func datasetErased(f facts) words {
	say := []string{fmt.Sprintf("On %s all files of this dataset were erased, in all their versions, and it was checked that none is left. Nobody can bring them back.", f.at())}
	if f.text != "" {
		say = append(say, "The receipt is signed, and anybody can verify it without us. Its digest is: "+f.text)
	}
	return words{
		subject: "A dataset was erased",
		say:     say,
		facts:   f.about(),
		action:  f.open("See the receipt"),
	}
}
