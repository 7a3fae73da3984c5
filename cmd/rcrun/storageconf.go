package main

import (
	"os"

	"go.podman.io/storage/types"
)

// ignoreStorageConf keeps the storage library from the host's configuration, which it reads once per process and then
// remembers. It reads storage.conf even when all options are given, so that a broken file meant for podman would keep
// our store shut; and to fill in defaults that nobody asks for, it makes a directory below /tmp that another user may
// have made before, which is then an error. There is no option against it, only the environment. A library must not
// change that under the feet of its program, so this is done here, before anything else runs in the process, and the
// environment is put back.
func ignoreStorageConf() {
	const nowhere = "/" // is not written to
	for name, value := range map[string]string{
		"CONTAINERS_STORAGE_CONF":          os.DevNull,
		"CONTAINERS_STORAGE_CONF_OVERRIDE": "",
		"STORAGE_DRIVER":                   "",
		"STORAGE_OPTS":                     "",
		"XDG_RUNTIME_DIR":                  nowhere,
		"XDG_DATA_HOME":                    nowhere,
	} {
		defer restoreEnv(name)()
		os.Setenv(name, value)
	}
	// The library remembers the result as the defaults, of which this program uses none.
	_, _ = types.DefaultStoreOptions()
}

// restoreEnv returns a function that gives a variable the value that it has now.
func restoreEnv(name string) func() {
	value, ok := os.LookupEnv(name)
	return func() {
		if ok {
			os.Setenv(name, value)
		} else {
			os.Unsetenv(name)
		}
	}
}
