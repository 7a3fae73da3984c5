package rootless

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rcrun/rcrun/internal/idmap"
)

// Write writes the map m to the user namespace of process pid, a child that has no map yet.
func (m Map) Write(ctx context.Context, pid int) error {
	// The kernel accepts the map of groups from an unprivileged caller only after setgroups(2) is forbidden, so that no
	// process can leave a group that denies access.
	if m.SingleID {
		if err := writeProc(pid, "setgroups", "deny"); err != nil {
			return err
		}
	}
	if err := writeMap(ctx, pid, "uid_map", m.UIDs, m.newUIDMap); err != nil {
		return err
	}
	return writeMap(ctx, pid, "gid_map", m.GIDs, m.newGIDMap)
}

func writeMap(ctx context.Context, pid int, file string, maps idmap.Map, helper string) error {
	if helper == "" {
		return writeProc(pid, file, maps.String())
	}
	args := []string{strconv.Itoa(pid)}
	args = append(args, strings.Fields(maps.String())...)
	cmd := exec.CommandContext(ctx, helper, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return fmt.Errorf("write %s of process %d: %s: %w", file, pid, text, err)
		}
		return fmt.Errorf("write %s of process %d: %s: %w", file, pid, helper, err)
	}
	return nil
}

// writeProc writes a file of process pid in one write(2), as the kernel requires for map files.
func writeProc(pid int, file, text string) error {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write id map: %w", err)
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write id map %q: %w", strings.TrimSpace(text), err)
	}
	return nil
}
