// treesum DIR...: SHA-256 of every regular file below the given directories, and one
// digest over all of them.
//
// A bounded pipeline of goroutines:
//
//     walker --paths--> N readers --results--> collector (the main goroutine)
//
//   TS1  The walker never follows a symbolic link, so the walk cannot run in circles.
//   TS2  Both channels are bounded: memory does not grow with the length of the tree,
//        but for the list of results that the digest is made of.
//   TS3  Whatever may wait for a disk runs inside rt0::blocking; hashing does not.
//   TS4  An error travels down the pipeline like a result; the collector reports all of
//        them at the end, and the exit status is 1.
//   TS5  The digest is the SHA-256 of what these system tools print, to the byte:
//            find DIR... -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum --zero
//   TS6  Functions that read errno are not inlined: the compiler may keep the address of
//        errno over a call, and the thread may be another one after the call.
#include <rt0/rt0.h>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

struct result {
    std::string path;
    std::string digest;       // 64 hexadecimal digits; empty if error is not 0
    std::int64_t bytes = 0;
    int error = 0;            // errno of what went wrong with path
};

// ---- SHA-256, by OpenSSL.  Fetched once: a fetch takes locks and a lot of stack.
class sha256 {
public:
    sha256() : ctx_(EVP_MD_CTX_new()) {}
    sha256(const sha256&) = delete;
    sha256& operator=(const sha256&) = delete;
    ~sha256() { EVP_MD_CTX_free(ctx_); }

    static bool load() { return (algorithm_ = EVP_MD_fetch(nullptr, "SHA256", nullptr)) != nullptr; }
    bool begin() { return ctx_ && EVP_DigestInit_ex2(ctx_, algorithm_, nullptr) == 1; }
    bool add(const void* p, std::size_t n) { return EVP_DigestUpdate(ctx_, p, n) == 1; }
    std::string hex() {
        unsigned char md[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        if (EVP_DigestFinal_ex(ctx_, md, &n) != 1) return {};
        std::string out;
        for (unsigned i = 0; i < n; i++) {
            out += "0123456789abcdef"[md[i] >> 4];
            out += "0123456789abcdef"[md[i] & 15];
        }
        return out;
    }

private:
    EVP_MD_CTX* ctx_;
    static inline EVP_MD* algorithm_ = nullptr;
};

// ---- walker
struct entry {
    std::string path;
    bool is_dir = false;
    bool is_file = false;
    int error = 0;
};

[[gnu::noinline]] entry look(std::string path) {
    struct stat st;
    entry e{std::move(path)};
    if (lstat(e.path.c_str(), &st) != 0) {
        e.error = errno;
    } else {
        e.is_dir = S_ISDIR(st.st_mode);
        e.is_file = S_ISREG(st.st_mode);
    }
    return e;
}

// The names in a directory, with what each one is.  On an error the rest is in `error`.
[[gnu::noinline]] std::vector<entry> list(const std::string& dir, int& error) {
    std::vector<entry> out;
    int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR* d = fd < 0 ? nullptr : fdopendir(fd);
    if (!d) {
        error = errno;
        if (fd >= 0) close(fd);
        return out;
    }
    const std::string prefix = dir.back() == '/' ? dir : dir + '/';
    for (errno = 0; dirent* de = readdir(d); errno = 0) {
        if (!std::strcmp(de->d_name, ".") || !std::strcmp(de->d_name, "..")) continue;
        if (de->d_type == DT_UNKNOWN)
            out.push_back(look(prefix + de->d_name));
        else
            out.push_back({prefix + de->d_name, de->d_type == DT_DIR, de->d_type == DT_REG});
    }
    error = errno;
    closedir(d);
    return out;
}

void walk(const std::vector<std::string>& roots, rt0::sender<std::string> paths, rt0::sender<result> results) {
    std::vector<entry> todo;
    for (const std::string& r : roots) {
        entry e = rt0::blocking([&] { return look(r); });
        if (!e.error && !e.is_dir && !e.is_file) e.error = ENOTDIR;  // a link, a device: named, and not walked
        todo.push_back(std::move(e));
    }
    while (!todo.empty()) {
        entry e = std::move(todo.back());
        todo.pop_back();
        if (e.is_dir) {
            auto names = rt0::blocking([&] { return list(e.path, e.error); });
            std::move(names.begin(), names.end(), std::back_inserter(todo));
        }
        if (e.error) results.send({e.path, {}, 0, e.error});
        if (e.is_file) paths.send(std::move(e.path));
    }
    paths.close();
}

// ---- readers
[[gnu::noinline]] int open_regular(const std::string& path, int& error) {
    int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        error = errno;
    } else if (!S_ISREG(st.st_mode)) {
        error = EINVAL;  // it was a regular file when the walker saw it
    } else {
        return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}

// Reads until the buffer is full or the file ends; -1 with `error` set.
[[gnu::noinline]] ssize_t fill(int fd, char* buf, std::size_t cap, int& error) {
    std::size_t n = 0;
    while (n < cap) {
        ssize_t r = read(fd, buf + n, cap - n);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) {
            error = errno;
            return -1;
        }
        if (r == 0) break;
        n += static_cast<std::size_t>(r);
    }
    return static_cast<ssize_t>(n);
}

result sum_file(std::string path, sha256& sha, std::vector<char>& buf) {
    result res{std::move(path), {}};
    int fd = -1;
    if (!sha.begin()) res.error = ENOMEM;
    for (bool more = !res.error; more;) {
        // One crossing for a small file: open, read to its end, close.
        ssize_t n = rt0::blocking([&]() -> ssize_t {
            if (fd < 0 && (fd = open_regular(res.path, res.error)) < 0) return -1;
            ssize_t got = fill(fd, buf.data(), buf.size(), res.error);
            if (got < static_cast<ssize_t>(buf.size())) close(fd);
            return got;
        });
        more = n == static_cast<ssize_t>(buf.size());
        if (n < 0) break;
        sha.add(buf.data(), static_cast<std::size_t>(n));
        res.bytes += n;
    }
    if (!res.error && (res.digest = sha.hex()).empty()) res.error = EIO;
    return res;
}

void read_files(rt0::receiver<std::string> paths, rt0::sender<result> results) {
    sha256 sha;
    std::vector<char> buf(128 << 10);
    for (std::string& path : paths) results.send(sum_file(std::move(path), sha, buf));
}

// ---- collector
struct totals {
    std::vector<result> good, bad;
    std::int64_t bytes = 0;
    int threads = 0;

    void add(result r) {
        bytes += r.error ? 0 : r.bytes;
        threads = std::max(threads, rt0::num_thread());
        (r.error ? bad : good).push_back(std::move(r));
    }
};

void collect(rt0::receiver<result> results, totals& t) {
    const bool tty = isatty(STDERR_FILENO);
    auto progress = [&] {
        if (tty) std::fprintf(stderr, "\r%zu files, %lld MB ", t.good.size(), static_cast<long long>(t.bytes >> 20));
    };
    progress();
    rt0::ticker tick(tty ? 100ms : 24h);
    for (bool more = true; more;) {
        rt0::select(rt0::recv(results,
                              [&](std::optional<result> r) {
                                  if (r) t.add(std::move(*r));
                                  else more = false;
                              }),
                    rt0::recv(tick.channel(), [&](std::optional<rt0::time_point>) { progress(); }));
    }
    if (tty) std::fputs("\r\033[K", stderr);
}

std::string digest_of(std::vector<result>& files) {
    std::sort(files.begin(), files.end(), [](const result& a, const result& b) { return a.path < b.path; });
    sha256 sha;
    bool ok = sha.begin();
    for (const result& r : files) {
        const std::string line = r.digest + "  " + r.path;
        ok = ok && sha.add(line.c_str(), line.size() + 1);  // with its NUL, as --zero ends a line
    }
    return ok ? sha.hex() : std::string();
}

int report(totals& t, int goroutines, std::chrono::duration<double> took) {
    std::sort(t.bad.begin(), t.bad.end(), [](const result& a, const result& b) { return a.path < b.path; });
    for (const result& r : t.bad)
        std::fprintf(stderr, "treesum: %s: %s\n", r.path.c_str(), std::strerror(r.error));
    const std::string digest = digest_of(t.good);
    if (digest.empty()) rt0::panic("treesum: SHA-256 failed");
    std::printf("files       %zu\nbytes       %lld\nseconds     %.3f\ngoroutines  %d\nMs          %d\ndigest      %s\n",
                t.good.size(), static_cast<long long>(t.bytes), took.count(), goroutines, t.threads, digest.c_str());
    if (std::fflush(stdout) != 0) {
        std::perror("treesum: standard output");
        return 1;
    }
    return t.bad.empty() ? 0 : 1;
}

}  // namespace

void main_main() {
    auto argv = rt0::args();
    std::vector<std::string> roots(argv.begin() + (argv.empty() ? 0 : 1), argv.end());
    if (!roots.empty() && roots[0] == "--") {
        roots.erase(roots.begin());
    } else if (!roots.empty() && roots[0].starts_with('-')) {
        roots.clear();
    }
    if (roots.empty() || std::count(roots.begin(), roots.end(), "") > 0) {
        std::fputs("usage: treesum [--] DIR...\n", stderr);
        rt0::exit(2);
    }
    if (!sha256::load()) rt0::panic("treesum: OpenSSL has no SHA-256");

    const auto start = std::chrono::steady_clock::now();
    const int readers = rt0::gomaxprocs() * 4;
    rt0::chan<std::string> paths(256);
    rt0::chan<result> results(256);
    rt0::wait_group producers;
    producers.go([&] { walk(roots, paths, results); });
    for (int i = 0; i < readers; i++) producers.go([&] { read_files(paths, results); });
    rt0::go([&] {
        producers.wait();
        results.close();
    });  // so there are the readers, the walker, this one and main
    totals t;
    collect(results, t);
    rt0::exit(report(t, readers + 3, std::chrono::steady_clock::now() - start));
}
