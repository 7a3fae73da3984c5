package driver

import graphdriver "go.podman.io/storage/drivers"

// RegisterMounting registers the driver under another name, with a Mounter.
func RegisterMounting(name string, m Mounter) error {
	return graphdriver.Register(name, func(home string, options graphdriver.Options) (graphdriver.Driver, error) {
		d, err := newDriver(home, options)
		if err == nil {
			d.(*Driver).MountWith(m)
		}
		return d, err
	})
}
