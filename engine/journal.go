package engine

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"time"
)

// journal is what the processes of a container, but for its payload, have to say: monitor.log. A container can make
// them talk, so no process but the monitor writes to the file, which it bounds; the others have a pipe for their
// standard error. What the monitor itself says when it crashes goes to the file directly.
type journal struct {
	file   *logWriter
	stages *os.File // the end of the pipe that the stages write to
	source *os.File
	copied chan struct{} // closed when all that the stages wrote is in the file
}

// openJournal opens the journal of a container, also for what this process logs.
func openJournal(c *Container) (*journal, error) {
	file, err := openLog(c.path(journalFile), maxJournalFile)
	if err != nil {
		return nil, err
	}
	source, stages, err := newPipe()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &journal{file: file, stages: stages, source: source, copied: make(chan struct{})}
	go j.copy()
	log.SetOutput(file)
	return j, nil
}

// copy passes lines on, and what is longer than any line of ours in pieces.
func (j *journal) copy() {
	defer close(j.copied)
	lines := bufio.NewReaderSize(j.source, 16<<10)
	for {
		line, err := lines.ReadSlice('\n')
		j.file.Write(line) // where the disk is full, nobody can be told
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	io.Copy(io.Discard, j.source) // nobody is to wait for us
}

// close waits until all that the stages have said is in the file; for a stage that has not ended it does not wait long.
func (j *journal) close() {
	const patience = time.Second
	j.stages.Close()
	select {
	case <-j.copied:
		j.source.Close()
	case <-time.After(patience):
	}
	log.SetOutput(os.Stderr)
	j.file.Close()
}
