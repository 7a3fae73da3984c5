package archive_test

import (
	"os"
	"testing"

	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.RunAtHome(m)) }
