package adamem

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Metric is how the vectors of a namespace are compared.
type Metric string

// The metrics.
const (
	MetricCosine Metric = "cosine"
	MetricDot    Metric = "dot"
	MetricL2     Metric = "l2"
)

// IndexKind is the vector index that a namespace uses; docs/vector-index.md compares them.
type IndexKind string

// The kinds of index.
const (
	IndexFlat      IndexKind = "flat"
	IndexHNSW      IndexKind = "hnsw"
	IndexQG        IndexKind = "qg"
	IndexQGCompact IndexKind = "qg-compact"
	IndexPQ        IndexKind = "pq"
	IndexSpiral    IndexKind = "spiral"
	IndexUsearch   IndexKind = "usearch"
)

// VectorType is how the vectors of a namespace are stored.
type VectorType string

// The types of vectors.
const (
	VectorFloat32 VectorType = "float32"
	VectorFloat16 VectorType = "float16"
)

// IndexParams are the parameters of a vector index, named as in the HNSW paper; zero is the index's own default.
type IndexParams struct {
	M, EfConstruction, EfSearch int
}

// Namespace is one agent's, user's or team's memory.
type Namespace struct {
	// Name is unique in the server, Description free text.
	Name, Description string
	// Dim is the number of values of its vectors.
	Dim int
	// Metric, IndexKind, IndexParams and VectorType say how they are compared, found and stored.
	Metric      Metric
	IndexKind   IndexKind
	IndexParams IndexParams
	VectorType  VectorType
	// Model is the encoder that makes its vectors. Empty: clients supply all of them.
	Model string
	// ModelFingerprint is the SHA-256 of the encoder's files, hexadecimal.
	ModelFingerprint string
	// NSlots is the number of slots stored, NBytes the size of them and their vectors.
	NSlots, NBytes uint64
	// Sequence is the number of the newest change in its journal, SnapshotSequence that up to which its index is saved.
	Sequence, SnapshotSequence uint64
	// Open tells that its shard is in memory, IndexBytes how much of it its index takes.
	Open       bool
	IndexBytes uint64
	// CreatedAt is when it was created.
	CreatedAt time.Time
	// Ranking are its weights of hybrid ranking; those that are missing are the server's.
	Ranking Ranking
	// AdapterEnabled tells that queries by text pass through its adapter where one serves, and that it learns by itself.
	AdapterEnabled bool
	// AdapterVersion is the version of its adapter that serves. Zero: none.
	AdapterVersion int
	// Duplicates is what it does with duplicates; all fields are set.
	Duplicates DuplicatePolicy
	// DefaultTTL is the time after which slots expire that are written without an expiry. Zero: they do not.
	DefaultTTL time.Duration
	// HistoryVersions is how many former versions of each slot it keeps.
	HistoryVersions int
	// Supersede tells that a newer fact takes over from older ones with the same cue, user and agent.
	Supersede bool
	// Consolidation is when and how its slots are summed up; all fields are set.
	Consolidation ConsolidationPolicy
	// NVersions is the number of former versions that it keeps, for its history and its snapshots; VersionBytes their size.
	NVersions, VersionBytes uint64
	// Archive is what it keeps found; all fields are set.
	Archive ArchivePolicy
	// NArchived is how many of NSlots are archived, ArchivedBytes their part of NBytes.
	NArchived, ArchivedBytes uint64
}

func namespaceFromProto(m *pb.Namespace) Namespace {
	params := m.GetIndexParams()
	return Namespace{
		Name:        m.GetName(),
		Description: m.GetDescription(),
		Dim:         int(m.GetDim()),
		Metric:      enumFrom[Metric](m.GetMetric(), "METRIC_", pb.Metric_name),
		IndexKind:   enumFrom[IndexKind](m.GetIndexKind(), "INDEX_KIND_", pb.IndexKind_name),
		IndexParams: IndexParams{
			int(params.GetM()), int(params.GetEfConstruction()), int(params.GetEfSearch()),
		},
		VectorType:       enumFrom[VectorType](m.GetVectorType(), "VECTOR_TYPE_", pb.VectorType_name),
		Model:            m.GetModel(),
		ModelFingerprint: m.GetModelFingerprint(),
		NSlots:           m.GetNSlots(),
		NBytes:           m.GetNBytes(),
		Sequence:         m.GetSequence(),
		SnapshotSequence: m.GetSnapshotSequence(),
		Open:             m.GetOpen(),
		IndexBytes:       m.GetIndexBytes(),
		CreatedAt:        timeFromProto(m.GetCreatedAt()),
		Ranking:          rankingFromProto(m.GetRanking()),
		AdapterEnabled:   m.GetAdapterEnabled(),
		AdapterVersion:   int(m.GetAdapterVersion()),
		Duplicates:       policyFromProto(m.GetDuplicates()),
		DefaultTTL:       durationFromProto(m.GetDefaultTtl()),
		HistoryVersions:  int(m.GetHistoryVersions()),
		Supersede:        m.GetSupersede(),
		Consolidation:    consolidationFromProto(m.GetConsolidation()),
		NVersions:        m.GetNVersions(),
		VersionBytes:     m.GetVersionBytes(),
		Archive:          archivePolicyFromProto(m.GetArchive()),
		NArchived:        m.GetNArchived(),
		ArchivedBytes:    m.GetArchivedBytes(),
	}
}

// CreateNamespaceRequest describes a new namespace.
type CreateNamespaceRequest struct {
	// Name is 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit.
	Name string
	// Description is free text.
	Description string
	// Dim is the dimension of its vectors. Zero: the encoder's. Another one means that clients supply all vectors.
	Dim int
	// Metric is how its vectors are compared. Empty: cosine.
	Metric Metric
	// IndexKind is its vector index. Empty: hnsw.
	IndexKind IndexKind
	// IndexParams are the index's parameters. Nil: its defaults.
	IndexParams *IndexParams
	// VectorType is how its vectors are stored. Empty: float32.
	VectorType VectorType
	// ExternalVectors says that clients supply all vectors, so that text cannot be embedded for it.
	ExternalVectors bool
	// Duplicates is what it does with duplicates. Nil: it stores all.
	Duplicates *DuplicatePolicy
	// DefaultTTL is the time after which slots expire that are written without an expiry. Zero: they do not.
	DefaultTTL time.Duration
	// HistoryVersions is how many former versions of each slot it keeps, 0 to 1000. Nil: 10.
	HistoryVersions *int
	// Consolidation is when and how its slots are summed up. Nil: not by itself.
	Consolidation *ConsolidationPolicy
	// Archive is what it keeps found. Nil: all.
	Archive *ArchivePolicy
	// Supersede lets a newer fact or preference take over from older ones with the same cue, user and agent.
	Supersede bool
}

// CreateNamespace creates an empty namespace. ErrNamespaceExists: there is one of this name.
func (c *Client) CreateNamespace(
	ctx context.Context, create CreateNamespaceRequest, options ...RequestIDOption,
) (Namespace, error) {
	var check checks
	request := &pb.CreateNamespaceRequest{
		Name:            create.Name,
		Description:     create.Description,
		Dim:             check.uint32(create.Dim, "dim"),
		Metric:          enum[pb.Metric](&check, create.Metric, "METRIC_", "metric", pb.Metric_value),
		IndexKind:       enum[pb.IndexKind](&check, create.IndexKind, "INDEX_KIND_", "index_kind", pb.IndexKind_value),
		VectorType:      enum[pb.VectorType](&check, create.VectorType, "VECTOR_TYPE_", "vector_type", pb.VectorType_value),
		ExternalVectors: create.ExternalVectors,
		RequestId:       requestID(options),
		Duplicates:      check.policy(create.Duplicates),
		DefaultTtl:      durationToProto(create.DefaultTTL),
		HistoryVersions: check.uint32Pointer(create.HistoryVersions, "history_versions"),
		Consolidation:   check.consolidation(create.Consolidation),
		Archive:         archivePolicyToProto(create.Archive),
		Supersede:       create.Supersede,
	}
	if params := create.IndexParams; params != nil {
		request.IndexParams = &pb.IndexParams{
			M:              check.uint32(params.M, "index_params.m"),
			EfConstruction: check.uint32(params.EfConstruction, "index_params.ef_construction"),
			EfSearch:       check.uint32(params.EfSearch, "index_params.ef_search"),
		}
	}
	if check.err != nil {
		return Namespace{}, check.err
	}
	response, err := mutate(ctx, c, c.admin.CreateNamespace, request)
	if err != nil {
		return Namespace{}, err
	}
	return namespaceFromProto(response.GetNamespace()), nil
}

// GetNamespace describes the client's namespace, or that of InNamespace.
func (c *Client) GetNamespace(ctx context.Context, options ...NamespaceOption) (Namespace, error) {
	response, err := read(ctx, c, c.admin.GetNamespace, &pb.GetNamespaceRequest{Name: c.reading(options)})
	if err != nil {
		return Namespace{}, err
	}
	return namespaceFromProto(response.GetNamespace()), nil
}

// ListNamespacesRequest says which namespaces are read.
type ListNamespacesRequest struct {
	// Prefix keeps the names that start with it.
	Prefix string
	// Page says which part.
	Page PageOptions
}

// ListNamespaces are the namespaces in the order of their names, fetched page by page.
func (c *Client) ListNamespaces(ctx context.Context, list ListNamespacesRequest) iter.Seq2[Namespace, error] {
	return pages(list.Page, func(part PageOptions) (Page[Namespace], error) {
		list.Page = part
		return c.ListNamespacesPage(ctx, list)
	})
}

// ListNamespacesPage reads one page of ListNamespaces.
func (c *Client) ListNamespacesPage(ctx context.Context, list ListNamespacesRequest) (Page[Namespace], error) {
	response, err := read(ctx, c, c.admin.ListNamespaces, &pb.ListNamespacesRequest{
		Prefix: list.Prefix, PageSize: list.Page.size(), PageToken: list.Page.Token,
	})
	if err != nil {
		return Page[Namespace]{}, err
	}
	return Page[Namespace]{mapped(response.GetNamespaces(), namespaceFromProto), response.GetNextPageToken()}, nil
}

// UpdateNamespaceRequest changes what is given and leaves the rest.
type UpdateNamespaceRequest struct {
	// Name of the namespace; required.
	Name string
	// Description replaces the description.
	Description *string
	// EfSearch replaces the candidates that a search keeps.
	EfSearch *int
	// Ranking replaces all weights of hybrid ranking; an empty one that is not nil sets them to the server's.
	Ranking Ranking
	// AdapterEnabled turns its adapter and learning on or off.
	AdapterEnabled *bool
	// Duplicates changes what it does with duplicates; takes some 0.1 ms a slot when it begins to find them.
	Duplicates *DuplicatePolicy
	// DefaultTTL is the time after which slots expire that are written from now on without an expiry; zero: none do.
	DefaultTTL *time.Duration
	// HistoryVersions replaces how many former versions of each slot it keeps, 0 to 1000.
	HistoryVersions *int
	// Consolidation changes when and how its slots are summed up.
	Consolidation *ConsolidationPolicy
	// Archive changes what it keeps found.
	Archive *ArchivePolicy
	// Supersede says whether newer facts take over from older ones with the same cue, user and agent.
	Supersede *bool
}

// UpdateNamespace changes a namespace. Never repeated: the call has no request id.
func (c *Client) UpdateNamespace(ctx context.Context, update UpdateNamespaceRequest) (Namespace, error) {
	var check checks
	request := &pb.UpdateNamespaceRequest{
		Name:            update.Name,
		Description:     update.Description,
		EfSearch:        check.uint32Pointer(update.EfSearch, "ef_search"),
		AdapterEnabled:  update.AdapterEnabled,
		Duplicates:      check.policy(update.Duplicates),
		HistoryVersions: check.uint32Pointer(update.HistoryVersions, "history_versions"),
		Consolidation:   check.consolidation(update.Consolidation),
		Archive:         archivePolicyToProto(update.Archive),
		Supersede:       update.Supersede,
	}
	if update.Ranking != nil {
		request.Ranking = check.ranking(update.Ranking)
	}
	if update.DefaultTTL != nil {
		request.DefaultTtl = durationpb.New(*update.DefaultTTL)
	}
	if check.err != nil {
		return Namespace{}, check.err
	}
	response, err := mutate(ctx, c, c.admin.UpdateNamespace, request)
	if err != nil {
		return Namespace{}, err
	}
	return namespaceFromProto(response.GetNamespace()), nil
}

// DeleteNamespaceRequest names a namespace to delete.
type DeleteNamespaceRequest struct {
	// Name of the namespace; required.
	Name string
	// Erase waits until no byte of it is left in the files of the data directory; see DeleteSlotsRequest. Else its records
	// are removed in the background, and the receipt counts those that are still there.
	Erase bool
}

// DeleteNamespaceResult says how many slots a deleted namespace had, and what was left of it.
type DeleteNamespaceResult struct {
	NSlots  uint64
	Receipt DeletionReceipt
}

// DeleteNamespace deletes a namespace with all its slots. Never repeated: the call has no request id.
func (c *Client) DeleteNamespace(ctx context.Context, which DeleteNamespaceRequest) (DeleteNamespaceResult, error) {
	request := &pb.DeleteNamespaceRequest{Name: which.Name, Erase: which.Erase}
	response, err := mutate(ctx, c, c.admin.DeleteNamespace, request)
	if err != nil {
		return DeleteNamespaceResult{}, err
	}
	return DeleteNamespaceResult{response.GetNSlots(), receiptFromProto(response.GetReceipt())}, nil
}
