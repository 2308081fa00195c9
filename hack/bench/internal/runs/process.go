package runs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is an operator that was started.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// startOperator starts one and waits until its cache is filled.
func startOperator(ctx context.Context, e Environment, p *plane) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	data, err := json.Marshal(order{Kubeconfig: p.operatorConfig})
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	o := &process{command: exec.CommandContext(ctx, self, OperatorName)} //nolint:gosec // G204: this program.
	o.command.Env = []string{orderVariable + "=" + string(data), "HOME=" + e.Getenv("HOME"), "PATH=" + e.Getenv("PATH")}
	o.command.Stderr = e.Stderr
	o.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if o.in, err = o.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	out, err := o.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	o.out = bufio.NewReader(out)
	if err := o.command.Start(); err != nil {
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	if _, err := o.out.ReadBytes('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("start the operator: %w", err), o.kill())
	}
	return o, nil
}

// ask gives the operator's account of itself.
func (o *process) ask() (account, error) {
	var a account
	if _, err := fmt.Fprintln(o.in); err != nil {
		return a, fmt.Errorf("ask the operator: %w", err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("ask the operator: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("understand the operator: %w", err)
	}
	return a, nil
}

// calm is how long an operator must have nothing to do before it is at rest. It looks
// again at a run within 5 s of some events.
const calm = 8 * time.Second

// rest waits until the operator has nothing to do, and gives its account then.
func (o *process) rest(ctx context.Context) (account, error) {
	last, err := o.ask()
	since := time.Now()
	for err == nil {
		if last.Waiting == 0 && time.Since(since) >= calm {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("wait for the operator to be at rest: %w", ctx.Err())
		case <-time.After(time.Second):
		}
		var now account
		if now, err = o.ask(); now.Reconciles != last.Reconciles {
			since = time.Now()
		}
		last = now
	}
	return last, err
}

// kill ends it as the failure of its node does.
func (o *process) kill() error {
	err := o.command.Process.Kill()
	_ = o.command.Wait() // It was killed, which is an error.
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the operator: %w", err)
	}
	return nil
}
