package team

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// magic begins each message, so that nodes of another program or version are told apart at once.
const magic = "lethe-digits-team/1\n"

// peer is a connection to another node.
type peer struct {
	conn     net.Conn
	index    int
	greeting string
	in       *bufio.Reader
	out      *bufio.Writer
}

// limit bounds what comes next.
func (p *peer) limit(d time.Duration) {
	_ = p.conn.SetDeadline(time.Now().Add(d)) // It fails on a closed connection only, as what comes next will.
}

// A greeting is the magic, the node's index, a length, and text.

func (p *peer) writeGreeting(index int, text string) error {
	header := binary.BigEndian.AppendUint32([]byte(magic), uint32(index)) // #nosec G115 -- an index is small.
	header = binary.BigEndian.AppendUint32(header, uint32(len(text)))     // #nosec G115 -- a greeting is short.
	if _, err := p.out.Write(append(header, text...)); err != nil {
		return err
	}
	return p.out.Flush()
}

func (p *peer) readGreeting() (int, string, error) {
	header := make([]byte, len(magic)+8)
	if _, err := io.ReadFull(p.in, header); err != nil {
		return 0, "", err
	}
	if string(header[:len(magic)]) != magic {
		return 0, "", fmt.Errorf("it does not speak %q", magic)
	}
	index := binary.BigEndian.Uint32(header[len(magic):])
	length := binary.BigEndian.Uint32(header[len(magic)+4:])
	if index > math.MaxInt16 || length > greetingLimit {
		return 0, "", fmt.Errorf("a greeting of %d bytes from node %d makes no sense", length, index)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(p.in, text); err != nil {
		return 0, "", err
	}
	return int(index), string(text), nil
}

// A part is one byte, 1 to stop, the number of values, and the values as IEEE 754 has them.

func (p *peer) write(values [][]float64, stop bool) error {
	flag := byte(0)
	if stop {
		flag = 1
	}
	header := binary.BigEndian.AppendUint32([]byte{flag}, uint32(count(values))) // #nosec G115 -- the gradient of a small network.
	if _, err := p.out.Write(header); err != nil {
		return err
	}
	var text [8]byte
	for _, part := range values {
		for _, value := range part {
			binary.BigEndian.PutUint64(text[:], math.Float64bits(value))
			if _, err := p.out.Write(text[:]); err != nil {
				return err
			}
		}
	}
	return p.out.Flush()
}

func (p *peer) read(values [][]float64) (stop bool, err error) {
	var header [5]byte
	if _, err := io.ReadFull(p.in, header[:]); err != nil {
		return false, err
	}
	if got, want := binary.BigEndian.Uint32(header[1:]), count(values); int64(got) != int64(want) {
		return false, fmt.Errorf("it sent %d numbers, not %d", got, want)
	}
	var text [8]byte
	for _, part := range values {
		for i := range part {
			if _, err := io.ReadFull(p.in, text[:]); err != nil {
				return false, err
			}
			part[i] = math.Float64frombits(binary.BigEndian.Uint64(text[:]))
		}
	}
	return header[0] == 1, nil
}

func count(values [][]float64) int {
	n := 0
	for _, part := range values {
		n += len(part)
	}
	return n
}
