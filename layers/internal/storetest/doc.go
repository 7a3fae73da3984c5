// Package storetest has what the tests of several packages of layers/ need: stores, images of a known content,
// archives, and a registry that can be made to fail. Only tests import it.
package storetest
