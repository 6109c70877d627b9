package adamem

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Client is a connection to an AdaMem server. All its methods may be called by many goroutines at once.
type Client struct {
	// Jobs is long work of the server: watched, waited for, cancelled.
	Jobs *Jobs
	// Lifecycle starts work on what a namespace keeps.
	Lifecycle *Lifecycle
	// Duplicates of a namespace: merged, listed, brought back.
	Duplicates *Duplicates
	// Archive keeps namespaces within their limits, and brings back what was archived.
	Archive *Archive
	// History is the former versions of slots.
	History *History
	// Snapshots are named states of namespaces.
	Snapshots *Snapshots
	// Packages are namespaces as files.
	Packages *Packages
	// Backups of the whole server.
	Backups *Backups

	connection  *grpc.ClientConn
	memory      pb.MemoryServiceClient
	admin       pb.AdminServiceClient
	namespace   string
	timeout     time.Duration
	maxAttempts int
}

// New makes a client; the first call connects. [Client.WaitUntilReady] waits for a server that is just starting.
func New(config Config) (*Client, error) {
	if config.MaxAttempts < 0 {
		return nil, invalid("max_attempts", "at least 1 is expected, or 0 for the default")
	}
	connection, err := config.dial()
	if err != nil {
		return nil, err
	}
	c := &Client{
		connection:  connection,
		memory:      pb.NewMemoryServiceClient(connection),
		admin:       pb.NewAdminServiceClient(connection),
		namespace:   config.Namespace,
		timeout:     config.Timeout,
		maxAttempts: config.MaxAttempts,
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.maxAttempts == 0 {
		c.maxAttempts = DefaultMaxAttempts
	}
	lifecycle := pb.NewLifecycleServiceClient(connection)
	versions := pb.NewVersionServiceClient(connection)
	c.Jobs = &Jobs{c, pb.NewJobServiceClient(connection)}
	c.Lifecycle = &Lifecycle{c, lifecycle}
	c.Duplicates = &Duplicates{c, lifecycle}
	c.Archive = &Archive{c, pb.NewArchiveServiceClient(connection)}
	c.History = &History{c, versions}
	c.Snapshots = &Snapshots{c, versions}
	c.Packages = &Packages{c, pb.NewPackageServiceClient(connection)}
	c.Backups = &Backups{pb.NewBackupServiceClient(connection)}
	return c, nil
}

// Close ends the connection; calls under way fail.
func (c *Client) Close() error { return c.connection.Close() }

// WaitUntilReady waits until the server answers, for 30 seconds at most where ctx has no deadline. It fails at once where
// the server refuses, as with a wrong API key.
func (c *Client) WaitUntilReady(ctx context.Context) (ServerInfo, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
	}
	tries := attempts{}
	for {
		response, err := c.admin.GetServerInfo(ctx, &pb.GetServerInfoRequest{}, grpc.WaitForReady(true))
		if err == nil {
			return serverInfoFromProto(response), nil
		}
		if err = tries.wait(ctx, err); err != nil {
			return ServerInfo{}, err
		}
	}
}

// ServerInfo describes the server, its encoder and its limits.
func (c *Client) ServerInfo(ctx context.Context) (ServerInfo, error) {
	response, err := read(ctx, c, c.admin.GetServerInfo, &pb.GetServerInfoRequest{})
	if err != nil {
		return ServerInfo{}, err
	}
	return serverInfoFromProto(response), nil
}

// ServerInfo is the server, its encoder and its limits.
type ServerInfo struct {
	Version string
	// Uptime since it started.
	Uptime time.Duration
	// DefaultNamespace is used where a request names none.
	DefaultNamespace string
	// Model is the serving encoder's name.
	Model string
	// ModelFingerprint is the SHA-256 of its files, hexadecimal.
	ModelFingerprint string
	// Dim is its dimension.
	Dim int
	// MaxTokens is its window; longer texts are split, embedded in parts and averaged.
	MaxTokens int
	// NNamespaces is the number of namespaces, NOpenShards how many of them are in memory.
	NNamespaces, NOpenShards uint64
	// MemoryBudgetBytes is the limit for open shards, MemoryUsedBytes what they use.
	MemoryBudgetBytes, MemoryUsedBytes uint64
	// DataBytes is the size of the data file.
	DataBytes uint64
	// SIMD is the instruction set that the index uses.
	SIMD string
	// Limits are the largest values accepted.
	Limits Limits
}

// Limits are the largest values that the server accepts; the names are those of the protocol.
type Limits struct {
	MaxContentBytes, MaxMetadataBytes, MaxTags, MaxBatch, MaxTopK int
	MaxFilterDepth, MaxFilterNodes, MaxQueryNamespaces            int
	MaxMessageBytes                                               int
}

func serverInfoFromProto(m *pb.GetServerInfoResponse) ServerInfo {
	limits := m.GetLimits()
	return ServerInfo{
		Version:           m.GetVersion(),
		Uptime:            durationFromProto(m.GetUptime()),
		DefaultNamespace:  m.GetDefaultNamespace(),
		Model:             m.GetModel(),
		ModelFingerprint:  m.GetModelFingerprint(),
		Dim:               int(m.GetDim()),
		MaxTokens:         int(m.GetMaxTokens()),
		NNamespaces:       m.GetNNamespaces(),
		NOpenShards:       m.GetNOpenShards(),
		MemoryBudgetBytes: m.GetMemoryBudgetBytes(),
		MemoryUsedBytes:   m.GetMemoryUsedBytes(),
		DataBytes:         m.GetDataBytes(),
		SIMD:              m.GetSimd(),
		Limits: Limits{
			MaxContentBytes:    int(limits.GetMaxContentBytes()),
			MaxMetadataBytes:   int(limits.GetMaxMetadataBytes()),
			MaxTags:            int(limits.GetMaxTags()),
			MaxBatch:           int(limits.GetMaxBatch()),
			MaxTopK:            int(limits.GetMaxTopK()),
			MaxFilterDepth:     int(limits.GetMaxFilterDepth()),
			MaxFilterNodes:     int(limits.GetMaxFilterNodes()),
			MaxQueryNamespaces: int(limits.GetMaxQueryNamespaces()),
			MaxMessageBytes:    int(limits.GetMaxMessageBytes()),
		},
	}
}
