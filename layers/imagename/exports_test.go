package imagename

// What the tests of this package use besides its interface.
var PlatformText = platformText
