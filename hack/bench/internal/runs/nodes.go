package runs

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kwokModule plays kubelets.
const kwokModule = "sigs.k8s.io/kwok/cmd/kwok@v0.8.0"

// nodeCount nodes have room for podsOfNode Pods each.
const (
	nodeCount  = 4
	podsOfNode = "10000"
)

// stages are what kwok does to nodes and Pods.
//
//go:embed stages.yaml
var stages []byte

// schedulerConfig lifts the scheduler's own limit of requests.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: %s, qps: 2000, burst: 4000}
`

// startNodes starts all that brings Jobs to their end: the job controller and its
// fellows, the scheduler, and nodes. The function stops it.
func (b *bench) startNodes(ctx context.Context, p *plane) (stop func() error, err error) {
	kwok, err := b.kwok(ctx)
	if err != nil {
		return nil, err
	}
	stagesFile, scheduler := filepath.Join(p.dir, "stages.yaml"), filepath.Join(p.dir, "scheduler.yaml")
	if err := errors.Join(os.WriteFile(stagesFile, stages, 0o600),
		os.WriteFile(scheduler, fmt.Appendf(nil, schedulerConfig, p.adminConfig), 0o600)); err != nil {
		return nil, fmt.Errorf("configure the nodes: %w", err)
	}
	var started []*exec.Cmd
	stop = func() error {
		for _, command := range started {
			_ = command.Process.Kill() // It may have ended.
			_ = command.Wait()         // It was killed, which is an error.
		}
		return nil
	}
	for _, line := range [][]string{
		{
			filepath.Join(b.bin, "kube-controller-manager"), "--kubeconfig=" + p.adminConfig, "--leader-elect=false", "--secure-port=0",
			"--kube-api-qps=2000", "--kube-api-burst=4000", "--concurrent-job-syncs=20",
		},
		{filepath.Join(b.bin, "kube-scheduler"), "--config=" + scheduler, "--secure-port=0"},
		{kwok, "--kubeconfig=" + p.adminConfig, "--manage-all-nodes=true", "--config=" + stagesFile, "--node-lease-duration-seconds=40"},
	} {
		command := exec.CommandContext(ctx, line[0], line[1:]...) //nolint:gosec // G204: programs that `make tools` or we have built.
		log, err := os.Create(filepath.Join(p.dir, filepath.Base(line[0])+".log"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", filepath.Base(line[0]), err), stop())
		}
		command.Stdout, command.Stderr = log, log
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err = errors.Join(command.Start(), log.Close())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", filepath.Base(line[0]), err), stop())
		}
		started = append(started, command)
	}
	if err := p.makeNodes(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func (p *plane) makeNodes(ctx context.Context) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10k"), corev1.ResourceMemory: resource.MustParse("100Ti"),
		corev1.ResourcePods: resource.MustParse(podsOfNode), "nvidia.com/gpu": resource.MustParse(podsOfNode),
	}
	for i := range nodeCount {
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: map[string]string{corev1.LabelHostname: fmt.Sprintf("node-%d", i)}},
			Status:     corev1.NodeStatus{Capacity: room, Allocatable: room},
		}
		if err := p.admin.Create(ctx, node); err != nil {
			return fmt.Errorf("make a node: %w", err)
		}
	}
	return nil
}

// kwok gives the path of kwok, and builds it if it is not there.
func (b *bench) kwok(ctx context.Context) (string, error) {
	path := filepath.Join(b.bin, "kwok")
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("look for kwok: %w", err)
	}
	b.logf("building %s, which takes minutes\n", kwokModule)
	build := exec.CommandContext(ctx, "go", "install", kwokModule)
	build.Env = append(os.Environ(), "GOBIN="+b.bin)
	build.Stderr = b.env.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build kwok: %w", err)
	}
	return path, nil
}
