package pulsar

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/deedbroker/deed/cmd/provide"
)

// Version is that of the distribution.
const Version = "4.0.8"

// Distribution is an installed Pulsar and the java that runs it.
type Distribution struct {
	Dir       string // with lib
	Java      string
	javaMajor int
}

// Install fetches and unpacks the distribution unless it is there, and finds java.
func Install(ctx context.Context, c *provide.Cache) (*Distribution, error) {
	dir, err := c.Unpacked(ctx, provide.Artifact{
		Coordinates: "org.apache.pulsar:pulsar-server-distribution:" + Version + ":tar.gz:bin",
		SHA256:      "35c7d064c9e0928edbf2e708989faba0379662f98aa84ce0d4190c59efb6765e",
		Keep:        []string{"lib", "LICENSE", "NOTICE"},
	})
	if err != nil {
		return nil, err
	}
	return Installed(ctx, c, dir)
}

// Installed is the distribution that [Install] put into dir.
func Installed(ctx context.Context, c *provide.Cache, dir string) (*Distribution, error) {
	if err := provide.Exists(filepath.Join(dir, "lib")); err != nil {
		return nil, err
	}
	java, major, err := c.Java(ctx)
	return &Distribution{Dir: dir, Java: java, javaMajor: major}, err
}

// memory bounds a JVM.
type memory struct{ heap, direct string }

// command runs a main class of the distribution; its logs go below dir.
func (d *Distribution) command(dir string, m memory, properties []string, main string, args ...string) []string {
	cmd := []string{
		d.Java, "-Xms64m", "-Xmx" + m.heap, "-XX:MaxDirectMemorySize=" + m.direct,
		"-XX:+UseSerialGC", "-XX:+PerfDisableSharedMem", "-XX:+ExitOnOutOfMemoryError",
	}
	for opened := range strings.FieldsSeq(`java.base/java.io java.base/java.util.zip java.base/java.nio java.base/java.lang
		java.base/jdk.internal.misc java.base/jdk.internal.platform java.management/sun.management
		jdk.management/com.sun.management.internal`) {
		cmd = append(cmd, "--add-opens", opened+"=ALL-UNNAMED")
	}
	cmd = append(cmd, "--enable-native-access=ALL-UNNAMED")
	if d.javaMajor >= 23 {
		cmd = append(cmd, "--sun-misc-unsafe-memory-access=allow")
	}
	cmd = append(cmd,
		"-Djava.net.preferIPv4Stack=true", "-Dio.netty.tryReflectionSetAccessible=true",
		"-Dorg.apache.pulsar.shade.io.netty.tryReflectionSetAccessible=true",
		"-Dpulsar.allocator.exit_on_oom=true", "-Dio.netty.recycler.maxCapacityPerThread=4096",
		"-Dlog4j2.is.webapp=false", "-Dlog4j.shutdownHookEnabled=false",
		"-Dbookkeeper.metadata.bookie.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver",
		"-Dbookkeeper.metadata.client.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver",
		"-Dpulsar.log.dir="+filepath.Join(dir, "logs"), "-Dlog4j.configurationFile="+filepath.Join(dir, "log4j2.xml"),
	)
	cmd = append(cmd, properties...)
	cmd = append(cmd, "-cp", filepath.Join(d.Dir, "lib", "*"), main)
	return append(cmd, args...)
}
