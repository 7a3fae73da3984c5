// Package fdcache keeps descriptors of backing files open between requests, as many as fit.
//
// A file without a name must stay open as long as its node lives: it is pinned. Programs have a limit of open files
// each, but the server has one limit for all programs that use its mount. So when half of its descriptors are pinned,
// more of them are parked in threads (keepers) that have tables of descriptors of their own, each with the same
// limit. The alternative, to keep such files under names in the work directory, would need no thread; but one more
// name shows in st_nlink and ctime, and counts for the quota.
//
// Methods whose names end in Locked are called with the mu of the Cache held.
package fdcache
