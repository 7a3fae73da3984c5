package archive

// What the tests of this package use besides its interface.
const MaxExtracted = maxExtracted

var CopyAtMost = copyAtMost
var UnpackLayout = unpackLayout
