package bosh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile puts text into the file at path, readable by its owner alone, in a directory that it makes if need be. Whoever
// reads the file, also after a crash or a loss of power at any moment, finds the old text or the new one, whole.
func WriteFile(path string, text []byte) error { return writeFile(path, text, 0o600) }

// writeFile is [WriteFile] for a file with another mode.
func writeFile(path string, text []byte, mode os.FileMode) error {
	if err := replace(path, text, mode, (*os.File).Sync); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replaceFile is [writeFile] for what a loss of power makes worthless anyway: it doesn't wait for the disk.
func replaceFile(path string, text []byte, mode os.FileMode) error {
	return replace(path, text, mode, func(*os.File) error { return nil })
}

// replace writes a file beside the one at path, and gives it that name when finish is done with it.
func replace(path string, text []byte, mode os.FileMode, finish func(*os.File) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of %q: %w", path, err)
	}
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(mode), finish(file))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// syncDir makes the names in a directory outlive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %q: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing %q: %w", dir, err)
	}
	return nil
}
