package intake

// What the tests of this package use besides its interface.
const MaxIndexDepth = maxIndexDepth
const MaxIndexes = maxIndexes

var Forms = forms
