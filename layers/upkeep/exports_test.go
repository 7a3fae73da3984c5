package upkeep

// What the tests of this package use besides its interface.
var PruneImage = pruneImage
