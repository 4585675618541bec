//go:build !linux

package upstream

func (Resources) bound(int) error { return nil }

func (r Resources) supported() error {
	if r == (Resources{}) {
		return nil
	}
	return ErrNoResources
}
