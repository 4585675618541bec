package pulsar

import (
	"context"
	_ "embed" // the configurations
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/deedbroker/deed/cmd/provide"
)

var (
	//go:embed bookie.conf
	bookieConf string
	//go:embed broker.conf
	brokerConf string
)

// Cluster is a small Pulsar of several processes, any of which can be killed and come
// back: a ZooKeeper, three bookies of which one may be away, and two brokers.
type Cluster struct {
	Keys Keys

	dir   string
	dist  *Distribution
	ports map[string]int
	nodes map[string]*provide.Process
}

// ZooKeeper is the node that everything else depends on.
const ZooKeeper = "zookeeper"

// Bookies are the nodes that store messages.
func Bookies() []string { return []string{"bookie1", "bookie2", "bookie3"} }

// Brokers are the nodes that clients speak with.
func Brokers() []string { return []string{"broker1", "broker2"} }

// NewCluster prepares a cluster in dir.
func NewCluster(ctx context.Context, d *Distribution, dir string) (*Cluster, error) {
	fail := func(err error) (*Cluster, error) {
		return nil, fmt.Errorf("prepare Pulsar cluster in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	keys, err := NewKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return fail(err)
	}
	names := append([]string{ZooKeeper}, Bookies()...)
	for _, b := range Brokers() {
		names = append(names, b, httpOf(b))
	}
	ports, err := provide.Ports(ctx, dir, names...)
	if err != nil {
		return fail(err)
	}
	c := &Cluster{Keys: keys, dir: dir, dist: d, ports: ports, nodes: map[string]*provide.Process{}}
	if err := c.prepareZooKeeper(); err != nil {
		return fail(err)
	}
	for _, b := range Bookies() {
		if err := c.prepareBookie(b); err != nil {
			return fail(err)
		}
	}
	for _, b := range Brokers() {
		if err := c.prepareBroker(b); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

func httpOf(broker string) string { return broker + "-http" }

func (c *Cluster) address(name string) string { return "127.0.0.1:" + strconv.Itoa(c.ports[name]) }

func (c *Cluster) zooKeeper() string { return "zk:" + c.address(ZooKeeper) }

// node makes the directory of a node, with its configuration.
func (c *Cluster) node(name, file string, s settings) (dir, conf string, err error) {
	dir = filepath.Join(c.dir, name)
	conf = filepath.Join(dir, file)
	err = os.MkdirAll(filepath.Join(dir, "logs"), 0o700)
	if err == nil {
		err = errors.Join(s.write(conf), os.WriteFile(filepath.Join(dir, "log4j2.xml"), []byte(log4j), 0o600))
	}
	return dir, conf, err
}

func (c *Cluster) prepareZooKeeper() error {
	dir, conf, err := c.node(ZooKeeper, "zoo.cfg", settings{
		"tickTime": "2000", "dataDir": filepath.Join(c.dir, ZooKeeper, "data"), "clientPort": strconv.Itoa(c.ports[ZooKeeper]),
		"clientPortAddress": "127.0.0.1", "admin.enableServer": "false", "maxClientCnxns": "0",
	})
	c.nodes[ZooKeeper] = &provide.Process{
		Dir: dir, Ready: c.listens(ZooKeeper),
		Command: c.dist.command(dir, memory{"128m", "64m"}, []string{"-Djute.maxbuffer=10485760"}, "org.apache.zookeeper.server.ZooKeeperServerMain", conf),
	}
	return err
}

func (c *Cluster) prepareBookie(name string) error {
	s := parseSettings(bookieConf)
	s["bookiePort"] = strconv.Itoa(c.ports[name])
	s["journalDirectories"], s["ledgerDirectories"] = filepath.Join(c.dir, name, "journal"), filepath.Join(c.dir, name, "ledgers")
	s["metadataServiceUri"] = "metadata-store:" + c.zooKeeper()
	dir, conf, err := c.node(name, "bookie.conf", s)
	c.nodes[name] = &provide.Process{
		Dir: dir, Ready: c.listens(name),
		Command: c.dist.command(dir, memory{"192m", "128m"}, nil, "org.apache.bookkeeper.server.Main", "--conf", conf),
	}
	return err
}

func (c *Cluster) prepareBroker(name string) error {
	s := parseSettings(brokerConf)
	for key, value := range parseSettings(standaloneConf) { // what Deed relies on, and who may do what
		if _, own := s[key]; !own && isPolicy(key) {
			s[key] = value
		}
	}
	s["metadataStoreUrl"], s["configurationMetadataStoreUrl"] = c.zooKeeper(), c.zooKeeper()
	s["brokerServicePort"], s["webServicePort"] = strconv.Itoa(c.ports[name]), strconv.Itoa(c.ports[httpOf(name)])
	s["tokenPublicKey"] = "file://" + c.Keys.Path(PublicKey)
	s["authenticationProviders"] = "org.apache.pulsar.broker.authentication.AuthenticationProviderToken"
	s["brokerClientAuthenticationParameters"] = "file://" + c.Keys.Path(SuperuserToken)
	dir, conf, err := c.node(name, "broker.conf", s)
	c.nodes[name] = &provide.Process{
		Dir: dir, Ready: func(ctx context.Context) error { return c.healthy(ctx, name) },
		Command: c.dist.command(dir, memory{"384m", "192m"}, []string{"-Dpulsar.config.file=" + conf},
			"org.apache.pulsar.PulsarBrokerStarter", "--broker-conf", conf),
	}
	return err
}

// isPolicy tells the settings that say how a broker behaves from those that say how a
// standalone one is built.
func isPolicy(key string) bool {
	for _, prefix := range []string{"broker", "exposing", "authentication", "authorization", "superUser", "allowAuto", "systemTopic", "topicLevel", "backlogQuota", "acknowledgment"} {
		if strings.HasPrefix(key, prefix) && key != "brokerShutdownTimeoutMs" {
			return true
		}
	}
	return false
}

func (c *Cluster) listens(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address(name))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func (c *Cluster) healthy(ctx context.Context, broker string) error {
	token, err := os.ReadFile(c.Keys.Path(SuperuserToken))
	if err != nil {
		return err
	}
	return healthy(ctx, "http://"+c.address(httpOf(broker)), string(token))
}

// Start starts whatever does not run, in the order in which it is needed.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.StartNode(ctx, ZooKeeper); err != nil {
		return err
	}
	if err := c.initialise(ctx); err != nil {
		return err
	}
	for _, name := range slices.Concat(Bookies(), Brokers()) {
		if err := c.StartNode(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// initialise writes the cluster's metadata, once.
func (c *Cluster) initialise(ctx context.Context) error {
	done := filepath.Join(c.dir, "initialised")
	if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Join(c.dir, ZooKeeper)
	command := c.dist.command(dir, memory{"128m", "64m"}, nil, "org.apache.pulsar.PulsarClusterMetadataSetup",
		"-c", "standalone", "-md", c.zooKeeper(), "-cms", c.zooKeeper(), "-bn", "4", "--initial-num-transaction-coordinators", "1",
		"-uw", "http://"+c.address(httpOf(Brokers()[0])), "-ub", "pulsar://"+c.address(Brokers()[0]))
	if err := provide.Run(exec.CommandContext(ctx, command[0], command[1:]...)); err != nil { //nolint:gosec // made by this program
		return fmt.Errorf("initialise Pulsar cluster: %w", err)
	}
	return os.WriteFile(done, nil, 0o600)
}

// StartNode starts one node, and returns when it works.
func (c *Cluster) StartNode(ctx context.Context, name string) error { return c.nodes[name].Start(ctx) }

// KillNode kills one node.
func (c *Cluster) KillNode(ctx context.Context, name string) error { return c.nodes[name].Kill(ctx) }

// Kill kills all nodes.
func (c *Cluster) Kill(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		errs = append(errs, c.KillNode(ctx, name))
	}
	return errors.Join(errs...)
}

// URL is where clients connect.
func (c *Cluster) URL() string {
	var hosts []string
	for _, b := range Brokers() {
		hosts = append(hosts, c.address(b))
	}
	return "pulsar://" + strings.Join(hosts, ",")
}

// Admin is where the admin API is served, by any broker.
func (c *Cluster) Admin() string {
	var hosts []string
	for _, b := range Brokers() {
		hosts = append(hosts, c.address(httpOf(b)))
	}
	return "http://" + strings.Join(hosts, ",")
}

// Owner is the broker that serves a topic, named in full, as one of them that runs says.
func (c *Cluster) Owner(ctx context.Context, ask, topic string) (string, error) {
	token, err := os.ReadFile(c.Keys.Path(SuperuserToken))
	if err != nil {
		return "", err
	}
	said, err := get(ctx, "http://"+c.address(httpOf(ask))+"/lookup/v2/topic/"+strings.Replace(topic, "://", "/", 1), string(token))
	if err != nil {
		return "", fmt.Errorf("look up the owner of %s: %w", topic, err)
	}
	for _, b := range Brokers() {
		if strings.Contains(said, "pulsar://"+c.address(b)+`"`) {
			return b, nil
		}
	}
	return "", fmt.Errorf("look up the owner of %s: %.300s", topic, said)
}
