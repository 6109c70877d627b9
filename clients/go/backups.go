package adamem

import (
	"context"
	"errors"
	"io"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Backups copies the whole server while it runs.
type Backups struct {
	stub pb.BackupServiceClient
}

// SaveBackupRequest says how a backup is stored.
type SaveBackupRequest struct {
	// SingleFile stores one file. Else a folder.
	SingleFile bool
	// OnProgress is called with bytes done, and at most how many there are.
	OnProgress func(nBytes, nBytesTotal uint64)
}

// BackupResult is a backup that was stored whole.
type BackupResult struct {
	// Path is where it is.
	Path string
	// CreatedAt is when the copy began; all that was acknowledged before is in it.
	CreatedAt time.Time
	// NNamespaces and NSlots in it.
	NNamespaces, NSlots uint64
	// NBytes is the size of the database in it, SHA256 its digest, hexadecimal.
	NBytes uint64
	SHA256 string
	// ServerVersion of the server that it is of.
	ServerVersion string
}

// Save stores a consistent copy of the whole server, while it goes on to serve, at path on this machine, where nothing may
// be. It is written beside path, checked, synced, and put there in one step: what is at path is whole. `adamem verify`
// checks it further, `adamem restore` makes a data directory of it. Only ctx limits it, and it is never repeated by itself.
//
// Errors: ErrOverloaded, where another backup is under way; ErrBackupInvalid, where it did not arrive whole; those of files,
// such as fs.ErrExist.
func (b *Backups) Save(ctx context.Context, path string, save SaveBackupRequest) (result BackupResult, err error) {
	file, err := newBackupFile(path, save.SingleFile)
	if err != nil {
		return BackupResult{}, err
	}
	defer func() {
		if err != nil {
			file.abort()
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.stub.Backup(ctx, &pb.BackupRequest{})
	if err != nil {
		return BackupResult{}, errorFromRPC(err)
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file.finish()
		}
		if err != nil {
			return BackupResult{}, errorFromRPC(err)
		}
		if err := file.write(part); err != nil {
			return BackupResult{}, err
		}
		if save.OnProgress != nil {
			save.OnProgress(file.nBytes, part.GetTotalBytes())
		}
	}
}
