package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is what Linux counts the time of processes in, for everybody to see.
const tick = 10 * time.Millisecond

// usedCPU is what this process and those that it has started and that still run have
// used: on a machine that others use too it says more than the time that has passed.
func usedCPU() (time.Duration, error) {
	own, err := cpuOf("self")
	if err != nil {
		return 0, err
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 0, fmt.Errorf("find the processes: %w", err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // A thread that has ended.
		}
		for pid := range strings.FieldsSeq(string(text)) {
			used, err := cpuOf(pid)
			if err != nil {
				return 0, err
			}
			own += used
		}
	}
	return own, nil
}

func cpuOf(pid string) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, fmt.Errorf("read what a process has used: %w", err)
	}
	return cpuIn(string(stat))
}

// cpuIn reads user and system time; see proc_pid_stat(5).
func cpuIn(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // A name may have brackets, too.
	if len(fields) < 13 {
		return 0, errors.New("understand what a process has used: it has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("understand what a process has used: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}
