package adamem

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const (
	dataMember     = "data.mdb"
	manifestMember = "manifest.json"
	backupMagic    = "adamem-backup-1\n"
)

// backupFile is a backup as it is written to disk: beside its place first, and put there in one step when it is whole. A
// folder of data.mdb and manifest.json, or one file of both with a trailer: the length of the manifest, u64 big endian, and
// the magic.
type backupFile struct {
	path, part string
	singleFile bool
	file       *os.File
	digest     hash.Hash
	manifest   bytes.Buffer
	nBytes     uint64
}

func newBackupFile(path string, singleFile bool) (*backupFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "backup", Path: path, Err: fs.ErrExist}
	}
	b := &backupFile{path: path, singleFile: singleFile, digest: sha256.New()}
	// A name of its own: another backup to the same path may be under way.
	folder, pattern := filepath.Dir(path), "."+filepath.Base(path)+".*.part"
	if singleFile {
		if b.file, err = os.CreateTemp(folder, pattern); err != nil {
			return nil, err
		}
		b.part = b.file.Name()
		return b, nil
	}
	if b.part, err = os.MkdirTemp(folder, pattern); err != nil {
		return nil, err
	}
	if b.file, err = createNew(filepath.Join(b.part, dataMember)); err != nil {
		return nil, errors.Join(err, os.Remove(b.part))
	}
	return b, nil
}

// write takes the next part.
func (b *backupFile) write(part *pb.BackupResponse) error {
	switch {
	case part.GetMember() == dataMember && b.manifest.Len() == 0:
		if _, err := b.file.Write(part.GetData()); err != nil {
			return err
		}
		b.digest.Write(part.GetData())
		b.nBytes += uint64(len(part.GetData()))
	case part.GetMember() == manifestMember:
		b.manifest.Write(part.GetData())
	default:
		return backupInvalid(fmt.Sprintf("the server sent %q, which is not expected here", part.GetMember()))
	}
	return nil
}

// finish checks that everything came, syncs it to disk and puts it in its place.
func (b *backupFile) finish() (BackupResult, error) {
	result, err := b.check()
	if err != nil {
		return BackupResult{}, err
	}
	if b.singleFile {
		err = b.finishFile()
	} else {
		err = b.finishFolder()
	}
	if err != nil {
		return BackupResult{}, err
	}
	return result, syncFolder(filepath.Dir(b.path))
}

func (b *backupFile) finishFile() error {
	trailer := binary.BigEndian.AppendUint64(nil, uint64(b.manifest.Len()))
	tail := append(append(b.manifest.Bytes(), trailer...), backupMagic...)
	if _, err := b.file.Write(tail); err != nil {
		return err
	}
	if err := errors.Join(b.file.Sync(), b.file.Close()); err != nil {
		return err
	}
	// As a rename, but never over another file.
	if err := os.Link(b.part, b.path); err != nil {
		return err
	}
	return os.Remove(b.part)
}

func (b *backupFile) finishFolder() error {
	if err := errors.Join(b.file.Sync(), b.file.Close()); err != nil {
		return err
	}
	described, err := createNew(filepath.Join(b.part, manifestMember))
	if err != nil {
		return err
	}
	_, err = described.Write(b.manifest.Bytes())
	if err = errors.Join(err, described.Sync(), described.Close(), syncFolder(b.part)); err != nil {
		return err
	}
	// Over what is there this fails, but for an empty folder.
	return os.Rename(b.part, b.path)
}

// abort removes what was written.
func (b *backupFile) abort() {
	_ = b.file.Close()
	_ = os.RemoveAll(b.part)
}

func (b *backupFile) check() (BackupResult, error) {
	var manifest struct {
		CreatedAt     time.Time `json:"created_at"`
		ServerVersion string    `json:"server_version"`
		Members       []struct {
			NBytes uint64 `json:"n_bytes"`
			SHA256 string `json:"sha256"`
		} `json:"members"`
		Contents struct {
			Namespaces []struct {
				NSlots uint64 `json:"n_slots"`
			} `json:"namespaces"`
		} `json:"contents"`
	}
	if err := json.Unmarshal(b.manifest.Bytes(), &manifest); err != nil || len(manifest.Members) != 1 {
		return BackupResult{}, backupInvalid("the backup did not arrive whole: its manifest is missing or cut short")
	}
	digest := hex.EncodeToString(b.digest.Sum(nil))
	if member := manifest.Members[0]; member.NBytes != b.nBytes || member.SHA256 != digest {
		return BackupResult{}, backupInvalid("the backup did not arrive whole: the database is not that of its manifest")
	}
	result := BackupResult{
		Path:          b.path,
		CreatedAt:     manifest.CreatedAt,
		NNamespaces:   uint64(len(manifest.Contents.Namespaces)),
		NBytes:        b.nBytes,
		SHA256:        digest,
		ServerVersion: manifest.ServerVersion,
	}
	for _, namespace := range manifest.Contents.Namespaces {
		result.NSlots += namespace.NSlots
	}
	return result, nil
}

func backupInvalid(message string) *Error {
	return &Error{Code: codes.DataLoss, Reason: "BACKUP_INVALID", Message: message}
}

func createNew(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
