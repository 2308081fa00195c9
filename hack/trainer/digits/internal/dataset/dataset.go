package dataset

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// The two splits, which are also the names of their folders.
const (
	Train   = "train"
	Heldout = "heldout"
)

// Classes is the number of digits; labels are 0 to Classes-1.
const Classes = 10

const (
	imagesPrefix = "images-"
	imagesSuffix = ".idx3-ubyte.gz"
	labelsPrefix = "labels-"
	labelsSuffix = ".idx1-ubyte.gz"
)

// ErrEmpty says that a split has no rows.
var ErrEmpty = errors.New("no rows found")

// Set is one split in memory: Images[i] shows the digit Labels[i].
type Set struct {
	// Rows and Cols are the size of every image in pixels.
	Rows, Cols int
	// Images hold Rows*Cols bytes each, row by row, 0 background to 255 ink.
	Images [][]byte
	// Labels are 0 to Classes-1.
	Labels []byte
}

// Len is the number of images.
func (s Set) Len() int { return len(s.Images) }

// ImagesFile and LabelsFile name the two files of a shard within its split.
func ImagesFile(shard int) string { return fmt.Sprintf("%s%02d%s", imagesPrefix, shard, imagesSuffix) }

// LabelsFile names the labels that belong to ImagesFile of the same shard.
func LabelsFile(shard int) string { return fmt.Sprintf("%s%02d%s", labelsPrefix, shard, labelsSuffix) }

// Load reads every shard of one split in the order of their names, so that the same folder always gives the
// same rows in the same order. It fails with ErrEmpty when there is none, and with ErrFormat when a file is
// damaged or two shards don't fit together. Other files in the folder are ignored.
func Load(folder fs.FS, split string) (Set, error) {
	names, err := fs.Glob(folder, path.Join(split, imagesPrefix+"*"+imagesSuffix))
	if err != nil {
		return Set{}, fmt.Errorf("list shards of %s: %w", split, err)
	}
	var all Set
	for _, name := range names {
		shard, err := loadShard(folder, name)
		if err != nil {
			return Set{}, err
		}
		if all.Len() > 0 && (shard.Rows != all.Rows || shard.Cols != all.Cols) {
			return Set{}, fmt.Errorf("%w: %s has images of %dx%d, the shards before it %dx%d",
				ErrFormat, name, shard.Rows, shard.Cols, all.Rows, all.Cols)
		}
		all.Rows, all.Cols = shard.Rows, shard.Cols
		all.Images = append(all.Images, shard.Images...)
		all.Labels = append(all.Labels, shard.Labels...)
	}
	if all.Len() == 0 {
		return Set{}, fmt.Errorf("%w in %s/%s*%s: use a folder that `digits export` wrote",
			ErrEmpty, split, imagesPrefix, imagesSuffix)
	}
	return all, nil
}

func loadShard(folder fs.FS, imagesName string) (Set, error) {
	var shard Set
	err := readGzip(folder, imagesName, func(r io.Reader) (err error) {
		shard.Images, shard.Rows, shard.Cols, err = ReadImages(r)
		return err
	})
	if err != nil {
		return Set{}, err
	}
	labelsName := labelsNameFor(imagesName)
	err = readGzip(folder, labelsName, func(r io.Reader) (err error) {
		shard.Labels, err = ReadLabels(r)
		return err
	})
	if err != nil {
		return Set{}, err
	}
	if len(shard.Labels) != len(shard.Images) {
		return Set{}, fmt.Errorf("%w: %s has %d labels for %d images",
			ErrFormat, labelsName, len(shard.Labels), len(shard.Images))
	}
	for i, label := range shard.Labels {
		if label >= Classes {
			return Set{}, fmt.Errorf("%w: label %d of %s is %d", ErrFormat, i+1, labelsName, label)
		}
	}
	return shard, nil
}

func labelsNameFor(imagesName string) string {
	dir, base := path.Split(imagesName)
	shard := strings.TrimSuffix(strings.TrimPrefix(base, imagesPrefix), imagesSuffix)
	return dir + labelsPrefix + shard + labelsSuffix
}

// readGzip opens and unpacks one file for read; errors name the file.
func readGzip(folder fs.FS, name string, read func(io.Reader) error) (err error) {
	file, err := folder.Open(name)
	if err != nil {
		return fmt.Errorf("open shard: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("unpack %s: %w: %w", name, ErrFormat, err)
	}
	if err := read(unpacked); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
