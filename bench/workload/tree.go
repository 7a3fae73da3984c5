package workload

import (
	"fmt"
	"os"
	"path/filepath"
)

// treeFiles is about the number of files of a small Debian.
const treeFiles = 8000

// Tree fills dir with a tree to work on if there is no real one: small files in nested directories.
func Tree(c Config, dir string) error {
	for i := range c.count(treeFiles) {
		part := []string{shared, "usr/lib", "etc"}[i%3]
		path := filepath.Join(dir, part, fmt.Sprintf("%d/%d/file-%d", i/500, i/50%10, i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make tree: %w", err)
		}
		content := make([]byte, 1000+i*7919%20000)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("make tree: %w", err)
		}
	}
	return os.MkdirAll(filepath.Join(dir, shared), 0o755)
}
