package adamem

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const chunkBytes = 1 << 20

// Packages exports namespaces and imports packages: a namespace as one file. Only the context limits these calls, and they
// are never repeated by themselves.
type Packages struct {
	client *Client
	stub   pb.PackageServiceClient
}

// ImportMode is what an import does where a namespace of the name exists.
type ImportMode string

// It is refused, the slots are added (of two with one id the later UpdatedAt wins), or the package takes its place.
const (
	ImportCreate  ImportMode = "create"
	ImportMerge   ImportMode = "merge"
	ImportReplace ImportMode = "replace"
)

// PackageInfo is what a package says of itself.
type PackageInfo struct {
	// FormatVersion of the file.
	FormatVersion int
	// PackageID is a ULID, another one for each export.
	PackageID string
	// Name of the namespace that was exported.
	Name, Description, Author, License string
	Tags                               []string
	ExportedAt                         time.Time
	// ExportedBy is the program and its version.
	ExportedBy string
	// NSlots in it, NPairs taught pairs of question and slots.
	NSlots, NPairs uint64
	// Model is the encoder that made its vectors. Empty: clients supplied them.
	Model, ModelFingerprint string
	Dim                     int
	Metric                  Metric
	VectorType              VectorType
	// AdapterVersion is the adapter in it. Zero: none.
	AdapterVersion int
	// NBytes is the size of the file.
	NBytes uint64
	// SignedBy is the Ed25519 public key that signed it. Nil: nobody did.
	SignedBy []byte
}

func packageFromProto(m *pb.PackageInfo) PackageInfo {
	return PackageInfo{
		FormatVersion:    int(m.GetFormatVersion()),
		PackageID:        m.GetPackageId(),
		Name:             m.GetName(),
		Description:      m.GetDescription(),
		Author:           m.GetAuthor(),
		License:          m.GetLicense(),
		Tags:             m.GetTags(),
		ExportedAt:       timeFromProto(m.GetExportedAt()),
		ExportedBy:       m.GetExportedBy(),
		NSlots:           m.GetNSlots(),
		NPairs:           m.GetNPairs(),
		Model:            m.GetModel(),
		ModelFingerprint: m.GetModelFingerprint(),
		Dim:              int(m.GetDim()),
		Metric:           enumFrom[Metric](m.GetMetric(), "METRIC_", pb.Metric_name),
		VectorType:       enumFrom[VectorType](m.GetVectorType(), "VECTOR_TYPE_", pb.VectorType_name),
		AdapterVersion:   int(m.GetAdapterVersion()),
		NBytes:           m.GetNBytes(),
		SignedBy:         m.GetSignedBy(),
	}
}

// PackageProgress is how far an export or import is.
type PackageProgress struct {
	// Stage is "read" and "receive" of an export; "send", "store" and "merge" of an import.
	Stage string
	// NDone are slots; bytes where it is received or sent. NTotal are all of them, about; zero: not known.
	NDone, NTotal uint64
}

// ExportNamespaceRequest says what the package tells of itself.
type ExportNamespaceRequest struct {
	// Author is who makes it, License that of its contents, such as "CC-BY-4.0", Tags its labels.
	Author, License string
	Tags            []string
	// Description of the package. Nil: that of the namespace.
	Description *string
	// OnProgress is called from time to time.
	OnProgress func(PackageProgress)
}

// ExportNamespace writes a namespace, as it is at one moment, to target as a package. ErrAborted: it changes faster than it
// can be read.
func (p *Packages) ExportNamespace(
	ctx context.Context, target io.Writer, export ExportNamespaceRequest, options ...NamespaceOption,
) (PackageInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.stub.ExportNamespace(ctx, &pb.ExportNamespaceRequest{
		Namespace:   p.client.reading(options),
		Author:      export.Author,
		License:     export.License,
		Tags:        export.Tags,
		Description: export.Description,
	})
	if err != nil {
		return PackageInfo{}, errorFromRPC(err)
	}
	progress := reporter{call: export.OnProgress}
	var info *pb.PackageInfo
	var nBytes uint64
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return PackageInfo{}, errorFromRPC(err)
		}
		switch part := answer.GetPart().(type) {
		case *pb.ExportNamespaceResponse_Progress:
			progress.tell("read", part.Progress.GetNSlots(), part.Progress.GetNSlotsTotal())
		case *pb.ExportNamespaceResponse_Package:
			info = part.Package
		case *pb.ExportNamespaceResponse_Chunk:
			if _, err := target.Write(part.Chunk); err != nil {
				return PackageInfo{}, err
			}
			nBytes += uint64(len(part.Chunk))
			progress.tell("receive", nBytes, info.GetNBytes())
		}
	}
	if info == nil || nBytes != info.GetNBytes() {
		return PackageInfo{}, fault("the server ended the export before the package was whole")
	}
	return packageFromProto(info), nil
}

// ExportNamespaceFile is ExportNamespace to a file, which is at path once it is whole.
func (p *Packages) ExportNamespaceFile(
	ctx context.Context, path string, export ExportNamespaceRequest, options ...NamespaceOption,
) (info PackageInfo, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return PackageInfo{}, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if info, err = p.ExportNamespace(ctx, file, export, options...); err != nil {
		return PackageInfo{}, err
	}
	if err = errors.Join(file.Sync(), file.Close()); err != nil {
		return PackageInfo{}, err
	}
	return info, os.Rename(file.Name(), path)
}

// ImportNamespaceRequest says how a package is imported.
type ImportNamespaceRequest struct {
	// Namespace to import into. Empty: the package's name.
	Namespace string
	// Mode where it exists. Empty: ImportCreate.
	Mode ImportMode
	// KeepVectors refuses a package of another encoder, which is embedded anew otherwise.
	KeepVectors bool
	// VerifyKey is the Ed25519 public key, 32 bytes, that must have signed it. Nil: nobody has to.
	VerifyKey []byte
	// OnProgress is called from time to time.
	OnProgress func(PackageProgress)
}

// ImportResult says what an import did; it is on the server's disk, and can be found.
type ImportResult struct {
	// Namespace that holds the slots now.
	Namespace string
	// Package that was imported.
	Package PackageInfo
	// NCreated slots are new in it, NReplaced took the place of an older one, NKept were there as new, or newer.
	NCreated, NReplaced, NKept uint64
	// NEmbedded is how many got new vectors, NPairs how many taught pairs came with them.
	NEmbedded, NPairs uint64
	// AdapterVersion is the adapter that came with them and serves. Zero: none.
	AdapterVersion int
	// Replaced tells that a namespace of this name was there, and is gone.
	Replaced bool
}

// ImportNamespace stores the package that source is read to its end for. Nothing is to be seen before all of it is checked;
// a failure leaves nothing behind.
//
// Errors: ErrPackageInvalid, ErrPackageFormat, ErrPackageSignature, ErrPackageModel, ErrPackageTooLarge, ErrNamespaceExists.
func (p *Packages) ImportNamespace(
	ctx context.Context, source io.Reader, how ImportNamespaceRequest,
) (ImportResult, error) {
	var check checks
	first := &pb.ImportNamespaceRequest{Part: &pb.ImportNamespaceRequest_Options{Options: &pb.ImportOptions{
		Namespace:   how.Namespace,
		Mode:        enum[pb.ImportMode](&check, how.Mode, "IMPORT_MODE_", "mode", pb.ImportMode_value),
		KeepVectors: how.KeepVectors,
		VerifyKey:   how.VerifyKey,
	}}}
	if check.err != nil {
		return ImportResult{}, check.err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.stub.ImportNamespace(ctx)
	if err != nil {
		return ImportResult{}, errorFromRPC(err)
	}
	progress := &reporter{call: how.OnProgress}
	ended := make(chan imported, 1)
	go func() { ended <- receiveImport(stream, progress) }()
	err = sendPackage(stream, first, source, progress)
	if err != nil && !errors.Is(err, io.EOF) {
		cancel()
		<-ended
		return ImportResult{}, err
	}
	outcome := <-ended // What ended the stream, where the sender was only told that it has.
	return outcome.result, outcome.err
}

// ImportNamespaceFile is ImportNamespace of a file.
func (p *Packages) ImportNamespaceFile(
	ctx context.Context, path string, how ImportNamespaceRequest,
) (ImportResult, error) {
	file, err := os.Open(path)
	if err != nil {
		return ImportResult{}, err
	}
	defer func() { _ = file.Close() }()
	return p.ImportNamespace(ctx, file, how)
}

type importStream = grpc.BidiStreamingClient[pb.ImportNamespaceRequest, pb.ImportNamespaceResponse]

// sendPackage fails with io.EOF where the server ended the stream, and with source's error.
func sendPackage(stream importStream, first *pb.ImportNamespaceRequest, source io.Reader, progress *reporter) error {
	if err := stream.Send(first); err != nil {
		return err
	}
	nTotal := uint64(0)
	if file, ok := source.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			nTotal = uint64(info.Size())
		}
	}
	buffer := make([]byte, chunkBytes)
	nSent := uint64(0)
	for {
		n, err := io.ReadFull(source, buffer)
		if n > 0 {
			part := &pb.ImportNamespaceRequest_Chunk{Chunk: buffer[:n]}
			if err := stream.Send(&pb.ImportNamespaceRequest{Part: part}); err != nil {
				return err
			}
			nSent += uint64(n)
			progress.tell("send", nSent, nTotal)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return stream.CloseSend()
		}
		if err != nil {
			return err
		}
	}
}

type imported struct {
	result ImportResult
	err    error
}

func receiveImport(stream importStream, progress *reporter) imported {
	var outcome imported
	found := false
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return imported{err: errorFromRPC(err)}
		}
		switch part := answer.GetPart().(type) {
		case *pb.ImportNamespaceResponse_Progress:
			stage := "store"
			if part.Progress.GetMerging() {
				stage = "merge"
			}
			if part.Progress.GetNSlotsTotal() > 0 {
				progress.tell(stage, part.Progress.GetNSlots(), part.Progress.GetNSlotsTotal())
			}
		case *pb.ImportNamespaceResponse_Result:
			outcome.result, found = importResultFromProto(part.Result), true
		}
	}
	if !found {
		outcome.err = fault("the server ended the import without a result")
	}
	return outcome
}

func importResultFromProto(m *pb.ImportResult) ImportResult {
	return ImportResult{
		Namespace:      m.GetNamespace(),
		Package:        packageFromProto(m.GetPackage()),
		NCreated:       m.GetNCreated(),
		NReplaced:      m.GetNReplaced(),
		NKept:          m.GetNKept(),
		NEmbedded:      m.GetNEmbedded(),
		NPairs:         m.GetNPairs(),
		AdapterVersion: int(m.GetAdapterVersion()),
		Replaced:       m.GetReplaced(),
	}
}

// reporter calls OnProgress from one goroutine at a time.
type reporter struct {
	mu   sync.Mutex
	call func(PackageProgress)
}

func (r *reporter) tell(stage string, nDone, nTotal uint64) {
	if r.call == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.call(PackageProgress{stage, nDone, nTotal})
}
