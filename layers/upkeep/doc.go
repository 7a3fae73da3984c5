// Package upkeep looks after a store: it checks and repairs it (Check, Repair), removes what nobody needs (Prune,
// PruneKept), and has equal files share their blocks (Dedup).
//
// What every opening of a store puts right is not here but in package core: records that cannot be read, and what
// killed processes have left. A check finds what only reading all files can find.
package upkeep
