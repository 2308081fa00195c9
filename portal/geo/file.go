package geo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxFile is the size of a file that is read. GeoLite2-Country has about 10 MB.
const maxFile = 256 << 20

// state is what tells two versions of a file apart without reading them. The zero state
// is that of no file.
type state struct {
	modified time.Time
	size     int64
}

func stateOf(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{}
	}
	return state{modified: info.ModTime(), size: info.Size()}
}

// read reads a file of countries and checks all of it.
func read(path string) (*maxminddb.Reader, error) {
	content, err := readAll(path)
	if err != nil {
		return nil, fmt.Errorf("read the file of countries: %w", err)
	}
	file, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("read the file of countries: it is broken: %w", err)
	}
	if kind := file.Metadata.DatabaseType; !strings.Contains(kind, "Country") {
		return nil, fmt.Errorf("read the file of countries: it is a file of another type (%.60q)", kind)
	}
	if err := verify(file); err != nil {
		return nil, fmt.Errorf("read the file of countries: it is broken: %w", err)
	}
	return file, nil
}

// verify walks the whole tree and decodes each record once. The library's own check also
// wants a description, which says nothing about whether a lookup works.
func verify(file *maxminddb.Reader) error {
	decoded := map[uintptr]bool{}
	for network := range file.Networks() {
		if err := network.Err(); err != nil {
			return err
		}
		if decoded[network.Offset()] {
			continue
		}
		decoded[network.Offset()] = true
		var record any
		if err := network.Decode(&record); err != nil {
			return err
		}
	}
	return nil
}

func readAll(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, errors.New("it is larger than 256 MiB")
	}
	return content, nil
}
