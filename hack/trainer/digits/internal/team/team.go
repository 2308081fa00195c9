package team

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrLost says that another node went away or does not answer.
	ErrLost = errors.New("another node of the run is lost")
	// ErrDiffer says that the nodes do not train the same thing.
	ErrDiffer = errors.New("the nodes of the run do not train the same thing")
)

const (
	// defaultMeetLimit is for the start: pods are scheduled together, but images and data differ in their time.
	defaultMeetLimit = 5 * time.Minute
	// defaultStepLimit is for one step of the slowest node.
	defaultStepLimit = 2 * time.Minute
	// redial is between two tries to reach node 0: its name may not be known yet.
	redial = 250 * time.Millisecond
	// greetingLimit bounds a greeting, in bytes.
	greetingLimit = 64 << 10
)

// Place is where a node stands among the others.
type Place struct {
	// Index of this node, from 0, among Count.
	Index, Count int
	// Address of node 0 as the others reach it, host:port. Node 0 listens on its port.
	Address string
	// MeetLimit and StepLimit bound the waits for other nodes; 0 takes five and two minutes.
	MeetLimit, StepLimit time.Duration
}

// Team is this node's view of the others. Use it from one goroutine.
type Team struct {
	place Place
	// peers are all the others in their order at node 0, and node 0 at the others.
	peers  []*peer
	buffer []float64
}

// New makes a team that has not met yet.
func New(place Place) *Team {
	if place.MeetLimit == 0 {
		place.MeetLimit = defaultMeetLimit
	}
	if place.StepLimit == 0 {
		place.StepLimit = defaultStepLimit
	}
	return &Team{place: place}
}

// Index is this node's, from 0.
func (t *Team) Index() int { return t.place.Index }

// Size is the number of nodes.
func (t *Team) Size() int { return t.place.Count }

// Meet waits until all nodes are there and have said the same greeting. Errors are ErrLost, ErrDiffer or the
// context's.
func (t *Team) Meet(ctx context.Context, greeting string) error {
	limited, cancel := context.WithTimeout(ctx, t.place.MeetLimit)
	defer cancel()
	meet := t.join
	if t.place.Index == 0 {
		meet = t.gather
	}
	err := meet(limited, greeting)
	if err == nil {
		return nil
	}
	t.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// gather is Meet at node 0.
func (t *Team) gather(ctx context.Context, greeting string) error {
	_, port, err := net.SplitHostPort(t.place.Address)
	if err != nil {
		return fmt.Errorf("read the address of node 0: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("listen for the other nodes: %w", err)
	}
	// Closing it ends Accept, which takes no context.
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer func() { stop(); _ = listener.Close() }()
	for len(t.peers) < t.place.Count-1 {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("%w: %d of %d nodes came: %w", ErrLost, len(t.peers)+1, t.place.Count, errors.Join(ctx.Err(), err))
		}
		t.welcome(conn)
	}
	slices.SortFunc(t.peers, func(a, b *peer) int { return a.index - b.index })
	return t.compare(greeting)
}

// welcome reads who came. Whoever does not speak as a node does is sent away: it is a probe or a scanner.
func (t *Team) welcome(conn net.Conn) {
	p := newPeer(conn, 0)
	p.limit(10 * time.Second)
	index, greeting, err := p.readGreeting()
	known := slices.ContainsFunc(t.peers, func(other *peer) bool { return other.index == index })
	if err != nil || index < 1 || index >= t.place.Count || known {
		_ = conn.Close()
		return
	}
	p.index, p.greeting = index, greeting
	t.peers = append(t.peers, p)
}

// compare tells every node whether all have said the same.
func (t *Team) compare(greeting string) error {
	verdict := ""
	for _, p := range t.peers {
		if p.greeting != greeting && verdict == "" {
			verdict = fmt.Sprintf("node 0 says %q, node %d says %q", greeting, p.index, p.greeting)
		}
	}
	for _, p := range t.peers {
		p.limit(t.place.StepLimit)
		if err := p.writeGreeting(0, verdict); err != nil {
			return lost(p.index, err)
		}
	}
	if verdict != "" {
		return fmt.Errorf("%w: %s", ErrDiffer, verdict)
	}
	return nil
}

// join is Meet at the other nodes.
func (t *Team) join(ctx context.Context, greeting string) error {
	conn, err := dial(ctx, t.place.Address)
	if err != nil {
		return fmt.Errorf("%w: node 0 can not be reached at %s: %w", ErrLost, t.place.Address, err)
	}
	p := newPeer(conn, 0)
	t.peers = []*peer{p}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := p.writeGreeting(t.place.Index, greeting); err != nil {
		return lost(0, err)
	}
	_, verdict, err := p.readGreeting()
	switch {
	case err != nil:
		return lost(0, errors.Join(ctx.Err(), err))
	case verdict != "":
		return fmt.Errorf("%w: %s", ErrDiffer, verdict)
	}
	return nil
}

// dial tries until the context ends.
func dial(ctx context.Context, address string) (net.Conn, error) {
	for {
		conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(redial):
		}
	}
}

// Sum replaces the values by their sums over all nodes. It says whether any node wishes to stop: all nodes get
// the same answer at the same step. Errors wrap ErrLost.
func (t *Team) Sum(values [][]float64, stop bool) (bool, error) {
	if t.place.Index == 0 {
		return t.add(values, stop)
	}
	p := t.peers[0]
	p.limit(t.place.StepLimit)
	if err := p.write(values, stop); err != nil {
		return false, lost(0, err)
	}
	stop, err := p.read(values)
	if err != nil {
		return false, lost(0, err)
	}
	return stop, nil
}

// add is Sum at node 0.
func (t *Team) add(values [][]float64, stop bool) (bool, error) {
	for _, p := range t.peers {
		p.limit(t.place.StepLimit)
		parts := t.scratch(values)
		theirs, err := p.read(parts)
		if err != nil {
			return false, lost(p.index, err)
		}
		stop = stop || theirs
		for i, part := range parts {
			for j, value := range part {
				values[i][j] += value
			}
		}
	}
	for _, p := range t.peers {
		if err := p.write(values, stop); err != nil {
			return false, lost(p.index, err)
		}
	}
	return stop, nil
}

// scratch is room of the same shape as values.
func (t *Team) scratch(values [][]float64) [][]float64 {
	total := 0
	for _, part := range values {
		total += len(part)
	}
	if len(t.buffer) != total {
		t.buffer = make([]float64, total)
	}
	parts, at := make([][]float64, len(values)), 0
	for i, part := range values {
		parts[i] = t.buffer[at : at+len(part)]
		at += len(part)
	}
	return parts
}

// Close lets the other nodes go.
func (t *Team) Close() {
	for _, p := range t.peers {
		_ = p.conn.Close() // What was sent is sent; there is nothing left to lose.
	}
	t.peers = nil
}

func lost(index int, err error) error {
	return fmt.Errorf("%w: node %d: %w; the run's next attempt goes on from the last checkpoint", ErrLost, index, err)
}

func newPeer(conn net.Conn, index int) *peer {
	return &peer{conn: conn, index: index, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10)}
}
