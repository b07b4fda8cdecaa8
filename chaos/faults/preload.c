/* Makes syncing a file fail or take its time, as the file named by SIGNET_CHAOS_DISK says: "fail", "slow MILLISECONDS", or anything else for no harm. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int harmed(void) {
  const char *path = getenv("SIGNET_CHAOS_DISK");
  char text[64] = {0};
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  if (strncmp(text, "fail", 4) == 0) {
    errno = EIO;
    return 1;
  }
  if (strncmp(text, "slow ", 5) == 0) {
    long milliseconds = atol(text + 5);
    struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&wait, NULL);
  }
  return 0;
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  return harmed() ? -1 : real(file);
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  return harmed() ? -1 : real(file);
}
