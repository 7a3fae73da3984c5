package layers

import (
	"encoding/json"
	"testing"
)

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		changes []string
		want    string // the configuration as JSON
	}{
		{[]string{`CMD ["a", "b c"]`}, `{"Cmd":["a","b c"]}`},
		{[]string{`cmd echo "$HOME" x`}, `{"Cmd":["/bin/sh","-c","echo \"$HOME\" x"]}`},
		{[]string{`CMD [broken`}, `{"Cmd":["/bin/sh","-c","[broken"]}`},
		{[]string{`ENTRYPOINT ["/init"]`, `CMD []`}, `{"Entrypoint":["/init"]}`},
		{[]string{`ENV A=1 B="x y" C='$z' D=e\ f`, `ENV A=2`}, `{"Env":["A=2","B=x y","C=$z","D=e f"]}`},
		{[]string{`ENV A the rest`}, `{"Env":["A=the rest"]}`},
		{[]string{`ENV A=`}, `{"Env":["A="]}`},
		{[]string{`LABEL a=1 "b c"=2`, `LABEL a=3`}, `{"Labels":{"a":"3","b c":"2"}}`},
		{[]string{`EXPOSE 80 53/UDP 8000-8002`}, `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{}}}`},
		{[]string{`VOLUME /a /b`, `VOLUME ["/c d"]`}, `{"Volumes":{"/a":{},"/b":{},"/c d":{}}}`},
		{[]string{`WORKDIR srv`, `WORKDIR ../x/./y`}, `{"WorkingDir":"/x/y"}`},
		{[]string{`USER 1000:1000`, `STOPSIGNAL SIGQUIT`}, `{"User":"1000:1000","StopSignal":"SIGQUIT"}`},
	} {
		var config runConfig
		for _, change := range c.changes {
			if err := applyChange(&config, change); err != nil {
				t.Errorf("%s: %v", change, err)
			}
		}
		if got, err := json.Marshal(config); err != nil || string(got) != c.want {
			t.Errorf("%q:\ngot  %s, %v\nwant %s", c.changes, got, err, c.want)
		}
	}
}

func TestBadChanges(t *testing.T) {
	for _, change := range []string{"", "RUN x", "CMD", "ENV A=1 B", `ENV A="1`, `ENV A=1\`, "ENV =1", "EXPOSE x", "EXPOSE 0", "EXPOSE 70000",
		"EXPOSE 9-8", "LABEL a=1 b"} {
		if err := applyChange(&runConfig{}, change); err == nil {
			t.Errorf("%q was accepted", change)
		}
	}
}
