package driver

// What the tests of this package use besides its interface.
var NewDriver = newDriver
