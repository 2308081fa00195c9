package main

import (
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
)

// shipped is the dataset inside the binary; data/SOURCE.md says where it comes from.
//
//go:embed data
var shipped embed.FS

func shippedFolder() (fs.FS, error) {
	folder, err := fs.Sub(shipped, "data")
	if err != nil {
		return nil, fmt.Errorf("open shipped dataset: %w", err)
	}
	return folder, nil
}

// export is "digits export DIR". It may be repeated: files of the same name are replaced, others are left.
func (p program) export(args []string) error {
	set := p.flags("export")
	if err := parse(set, args, 1); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return fmt.Errorf("%w: name the folder to write to, as in: digits export ./digits-dataset", errUsage)
	}
	folder, err := shippedFolder()
	if err != nil {
		return err
	}
	files, size := 0, 0
	err = fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return fmt.Errorf("read shipped %s: %w", name, err)
		}
		files, size = files+1, size+len(content)
		target := filepath.Join(set.Arg(0), filepath.FromSlash(name))
		return contract.WriteFile(filepath.Dir(target), filepath.Base(target), content)
	})
	if err != nil {
		return fmt.Errorf("export dataset: %w", err)
	}
	_, _ = fmt.Fprintf(p.out, "wrote %d files, %d KiB, to %s\n", files, size/1024, set.Arg(0))
	return nil
}
