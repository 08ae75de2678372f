/* A system clock that jumps while it is read, for tools/soak.py.

   cc -shared -fPIC -o moving_clock.so moving_clock.c -ldl
   LD_PRELOAD=./moving_clock.so MOVING_CLOCK=jumps.bin submit …

   The file has int64s: how often the time of day was read, by all processes together,
   and the seconds that are added to it at each reading, one after the other and again
   from the first. The monotonic clock and all waiting stay as they are, as when somebody
   sets a machine's clock. libfaketime cannot do this: it makes Python's time.sleep fail
   if it leaves the monotonic clock alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct {
  int64_t readings, added[];
} *jumps;
static int64_t length;

__attribute__((constructor)) static void open_jumps(void) {
  const char *name = getenv("MOVING_CLOCK");
  int file = name ? open(name, O_RDWR) : -1;
  struct stat known;
  if (file < 0) return;
  if (!fstat(file, &known)) {
    void *mapped =
        mmap(NULL, known.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    length = known.st_size / sizeof(int64_t) - 1;
    if (mapped != MAP_FAILED) jumps = mapped;
  }
  close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(which, now);
  if (!failed && jumps && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
    int64_t reading = __atomic_fetch_add(&jumps->readings, 1, __ATOMIC_RELAXED);
    now->tv_sec += jumps->added[reading % length];
  }
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec found;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
  now->tv_sec = found.tv_sec;
  now->tv_usec = found.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *place) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (place) *place = found.tv_sec;
  return found.tv_sec;
}
