package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// socketName is the plugin's own socket beside kubelet's.
const socketName = "lethe-fake-gpu.sock"

// lookEvery is how often the plugin looks whether kubelet wants it to register
// again. A restarted kubelet empties the folder and makes a new socket, and the
// plugin API has no other sign of it.
const lookEvery = time.Second

// plugin serves the device plugin API for a fixed number of devices that are
// always healthy.
type plugin struct {
	api.UnimplementedDevicePluginServer

	dir      string
	resource string
	devices  []*api.Device
	// ended is closed when the plugin shuts down, to end the streams.
	ended chan struct{}
}

func newPlugin(dir, resource string, count int) *plugin {
	p := &plugin{dir: dir, resource: resource, ended: make(chan struct{})}
	for i := range count {
		p.devices = append(p.devices, &api.Device{ID: fmt.Sprintf("fake-gpu-%d", i), Health: api.Healthy})
	}
	return p
}

// run serves and registers with kubelet, again whenever kubelet was restarted,
// until ctx ends.
func (p *plugin) run(ctx context.Context) error {
	defer close(p.ended)
	var server *grpc.Server
	defer func() { stop(server) }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var registered string
	for {
		if current := p.generation(); current != "" && current != registered {
			stop(server)
			var err error
			if server, err = p.serve(ctx); err != nil {
				return err
			}
			registered = p.announce(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// announce registers and gives the generation that kubelet knows us by now; it is
// empty when that failed, so that it is tried again.
func (p *plugin) announce(ctx context.Context) string {
	if err := p.register(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fake-gpu-plugin: will try again:", err)
		return ""
	}
	fmt.Printf("registered %d fake %s\n", len(p.devices), p.resource)
	return p.generation()
}

func stop(server *grpc.Server) {
	if server != nil {
		server.Stop()
	}
}

// generation names the sockets that exist now: it changes when kubelet made a
// new one or removed ours, and is empty while there is no kubelet.
func (p *plugin) generation() string {
	kubelet := inode(p.kubeletSocket())
	if kubelet == "" {
		return ""
	}
	return kubelet + "/" + inode(filepath.Join(p.dir, socketName))
}

// inode names one file for its life; empty when there is none.
func inode(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d@%d", stat.Ino, stat.Ctim.Nano())
}

func (p *plugin) kubeletSocket() string {
	return filepath.Join(p.dir, filepath.Base(api.KubeletSocket))
}

func (p *plugin) serve(ctx context.Context) (*grpc.Server, error) {
	path := filepath.Join(p.dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, "fake-gpu-plugin: serve:", err)
		}
	}()
	return server, nil
}

func (p *plugin) register(ctx context.Context) error {
	conn, err := grpc.NewClient("unix://"+p.kubeletSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reach kubelet: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = api.NewRegistrationClient(conn).Register(ctx, &api.RegisterRequest{
		Version: api.Version, Endpoint: socketName, ResourceName: p.resource,
	})
	if err != nil {
		return fmt.Errorf("register with kubelet: %w", err)
	}
	return nil
}

// GetDevicePluginOptions asks kubelet for no optional call.
func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch tells the devices once; they never change.
func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	select {
	case <-stream.Context().Done():
	case <-p.ended:
	}
	return nil
}

// Allocate gives a container the names of its devices, and nothing else.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.GetContainerRequests() {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.GetDevicesIds(), ",")},
		})
	}
	return response, nil
}
