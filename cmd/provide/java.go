package provide

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// minJava is the oldest Java that the servers run on.
const minJava = 17

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// Java finds a java that is recent enough: that of JAVA_HOME, of the path, or of
// /usr/lib/jvm. Where there is none it is installed like any [Cache.Program].
func (c *Cache) Java(ctx context.Context) (path string, major int, err error) {
	candidates := []string{}
	if home := os.Getenv("JAVA_HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	if path, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, path)
	}
	installed, err := filepath.Glob("/usr/lib/jvm/*/bin/java")
	if err != nil {
		return "", 0, err
	}
	for _, path := range append(candidates, installed...) {
		if major := javaMajor(ctx, path); major >= minJava {
			return path, major, nil
		}
	}
	if len(candidates) == 0 {
		if path, err = c.Program(ctx, "java", "default-jre-headless"); err != nil {
			return "", 0, err
		}
		if major := javaMajor(ctx, path); major >= minJava {
			return path, major, nil
		}
	}
	return "", 0, fmt.Errorf("no java on this machine is version %d or newer; install one, or set JAVA_HOME to it", minJava)
}

// javaMajor is the version of a java, or 0 if it says none.
func javaMajor(ctx context.Context, path string) int {
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput() //nolint:gosec // java of the machine
	if err != nil {
		return 0
	}
	found := javaVersion.FindSubmatch(out)
	if found == nil {
		return 0
	}
	major, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0
	}
	return major
}
