// Package events is the journal of what is done with a user's containers and images, in Docker's form. There is no
// daemon, so each process writes the events of what it does itself: a command, a container's monitor, the process that
// removes a container. Any process of the user can read the journal and follow it.
//
// The journal is a directory of segments, which are files with a number for a name. An event is a line of JSON
// (events.Message of Docker's API) at the end of the segment with the highest number. A segment that is full is
// followed by the next one, and the oldest is removed.
//
// # Decisions
//
// A writer holds a lock for as long as it takes to find the last segment, to look at its last byte and to append.
// O_APPEND alone keeps two lines apart, but a writer that has opened a segment could append to it after another writer
// has begun the next one, when readers are done with the first. The lock also makes the order of lines the order of
// their times, and lets a writer undo half a line that a full disk left. The kernel releases the lock of a writer that
// is killed. A writer does not wait for a stopped holder for longer than lockTime, once, because the operation that it
// reports must not hang.
//
// A writer that was killed can leave a line without an end. The next writer ends that line before its own, so a torn
// line is one that is not JSON, and readers skip it. A line that lacks nothing but its end is a whole event. Readers
// skip in the same way whatever else is not an event: nothing in the files makes reading fail.
//
// Lines are not flushed to the disk: a crash of the host may lose the last ones. An event is news for who follows, and
// the state of containers, which must be right after a crash, is elsewhere.
//
// The journal keeps a fixed size: eight segments of 1 MiB, some ten thousand events, where Docker keeps 256 in memory.
// An event that is larger than maxLine is cut: first its longest attributes (labels) are left out.
// A reader that is so far behind that segments were removed which it has not read goes on with the oldest that is left,
// and is told that events are missing. Docker drops events of a slow client without a word.
//
// A follower waits for the kernel (package filewatch). It holds the descriptor of the segment that it reads, so
// rotation takes nothing from it: a segment gets no more lines once the next one exists, and the follower reads it to
// its end then. Docker sends nothing of the past unless since or until asks for it; so does Read.
//
// Docker's own types are used: their package imports nothing, so it costs the small program of the stages no time.
// The package of the API's filters and of image references does, so Filter has Docker's rules in its own words.
package events
