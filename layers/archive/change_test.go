package archive

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
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
		{[]string{`EXPOSE 80 53/UDP 8000-8002`},
			`{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{}}}`},
		{[]string{`VOLUME /a /b`, `VOLUME ["/c d"]`}, `{"Volumes":{"/a":{},"/b":{},"/c d":{}}}`},
		{[]string{`WORKDIR srv`, `WORKDIR ../x/./y`}, `{"WorkingDir":"/x/y"}`},
		{[]string{`SHELL ["/bin/bash","-c"]`, `CMD a b`},
			`{"Cmd":["/bin/bash","-c","a b"],"Shell":["/bin/bash","-c"]}`},
		{[]string{`ONBUILD RUN x`, `ONBUILD COPY . .`}, `{"OnBuild":["RUN x","COPY . ."]}`},
		{[]string{`HEALTHCHECK none`}, `{"Healthcheck":{"Test":["NONE"]}}`},
		{[]string{`HEALTHCHECK --interval=5s --retries=3 CMD curl localhost`},
			`{"Healthcheck":{"Test":["CMD-SHELL","curl localhost"],"Interval":5000000000,"Retries":3}}`},
		{[]string{`HEALTHCHECK CMD ["true"]`}, `{"Healthcheck":{"Test":["CMD","true"]}}`},
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
	for _, change := range []string{"", "RUN x", "CMD", "ENV A=1 B", `ENV A="1`, `ENV A=1\`, "ENV =1", "EXPOSE x",
		"EXPOSE 0", "EXPOSE 70000",
		"EXPOSE 9-8", "LABEL a=1 b",
		"SHELL bash", "SHELL []", "ONBUILD FROM x",
		"HEALTHCHECK true", "HEALTHCHECK CMD", "HEALTHCHECK --interval=1s NONE", "HEALTHCHECK --interval=x CMD a",
		"HEALTHCHECK --retries=-1 CMD a",
		"HEALTHCHECK --what=1 CMD a"} {
		if err := applyChange(&runConfig{}, change); err == nil {
			t.Errorf("%q was accepted", change)
		}
	}
}

// TestChangesTogether checks what instructions do to what was there before.
func TestChangesTogether(t *testing.T) {
	for _, c := range []struct {
		changes []string
		want    []string // the command
	}{
		{[]string{`ENTRYPOINT ["/init"]`}, nil},
		{[]string{`ENTRYPOINT ["/init"]`, `CMD ["x"]`}, []string{"x"}},
		{[]string{`CMD ["x"]`, `entrypoint ["/init"]`}, []string{"x"}},
		{[]string{`ENV A=1`}, []string{"old"}},
	} {
		config := newImageConfig(time.Now())
		config.Config.Cmd = []string{"old"}
		if err := config.change(c.changes); err != nil || !slices.Equal(config.Config.Cmd, c.want) {
			t.Errorf("%q: command %q, %v; want %q", c.changes, config.Config.Cmd, err, c.want)
		}
	}
}
