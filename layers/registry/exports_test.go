package registry

// What the tests of this package use besides its interface.
var IsLoopback = isLoopback
var RegistryError = registryError
var Unreachable = unreachable
