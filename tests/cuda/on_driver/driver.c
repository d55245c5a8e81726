/* A CUDA driver of two devices that are not there: memory is the host's, kernels do nothing.
 *
 * What is asked of it is written to the file $DRIVER_LOG. All arrays are on device $DRIVER_ARRAYS_ON.
 * $DRIVER_FAILS names a command and the error that it returns, such as "launch 700". Whatever is not here succeeds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
typedef uintptr_t Handle;
enum { CONTEXT = 0x100, NO_CONTEXT = 201 };

static __thread Handle contexts[64];
static __thread int depth;
static Handle last = 0x1000;

static void note(const char *format, ...) {
    FILE *file = fopen(getenv("DRIVER_LOG"), "a");
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fprintf(file, " on device %d\n", depth ? (int)(contexts[depth - 1] - CONTEXT) : -1);
    fclose(file);
}

static Result failed(const char *command) {
    const char *planted = getenv("DRIVER_FAILS");
    size_t length = strlen(command);
    return planted && !strncmp(planted, command, length) && planted[length] == ' ' ? atoi(planted + length) : 0;
}

Result cuDriverGetVersion(int *version) { *version = 12090; return 0; }
Result cuDeviceGetCount(int *count) { *count = 2; return 0; }
Result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
Result cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "None"); return 0; }
Result cuDeviceTotalMem_v2(size_t *size, int device) { *size = (size_t)1 << 33; return 0; }
Result cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, device, 16); return 0; }
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;  /* the compute capability */
    return 0;
}

Result cuDevicePrimaryCtxRetain(Handle *context, int device) { *context = CONTEXT + device; return 0; }
Result cuCtxGetCurrent(Handle *context) { *context = depth ? contexts[depth - 1] : 0; return 0; }
Result cuCtxSetCurrent(Handle context) { contexts[depth ? depth - 1 : depth++] = context; return 0; }
Result cuCtxPushCurrent_v2(Handle context) { contexts[depth++] = context; note("push"); return 0; }
Result cuCtxPopCurrent_v2(Handle *context) {
    if (!depth) return NO_CONTEXT;
    *context = contexts[--depth];
    return 0;
}
Result cuCtxGetDevice(int *device) {
    if (!depth) return NO_CONTEXT;
    *device = contexts[depth - 1] - CONTEXT;
    return 0;
}

Result cuPointerGetAttribute(int *device, int attribute, Handle memory) {
    *device = atoi(getenv("DRIVER_ARRAYS_ON"));
    return 0;
}
Result cuMemAlloc_v2(Handle *memory, size_t size) { *memory = (Handle)calloc(size + 1, 1); return failed("alloc"); }
Result cuMemFree_v2(Handle memory) { note("free"); return depth ? 0 : NO_CONTEXT; }
Result cuMemAllocAsync(Handle *memory, size_t size, Handle stream) { return cuMemAlloc_v2(memory, size); }
Result cuMemHostAlloc(void **memory, size_t size, unsigned flags) { *memory = calloc(size + 1, 1); return 0; }
Result cuMemGetInfo_v2(size_t *unused, size_t *size) { *unused = *size = (size_t)1 << 33; return 0; }
Result cuMemcpyHtoDAsync_v2(Handle to, const void *from, size_t size, Handle stream) {
    memcpy((void *)to, from, size);
    note("send by %#lx", stream);
    return failed("send");
}
Result cuMemcpyDtoHAsync_v2(void *to, Handle from, size_t size, Handle stream) {
    memcpy(to, (void *)from, size);
    note("fetch by %#lx", stream);
    return failed("fetch");
}

Result cuStreamCreate(Handle *stream, unsigned flags) { *stream = last += 16; note("stream %#lx", *stream); return 0; }
Result cuStreamSynchronize(Handle stream) { note("wait for %#lx", stream); return failed("wait"); }
Result cuCtxSynchronize(void) { note("wait for all"); return 0; }
Result cuEventCreate(Handle *event, unsigned flags) { *event = last += 16; return 0; }
Result cuEventRecord(Handle event, Handle stream) { note("event %#lx by %#lx", event, stream); return 0; }
Result cuEventSynchronize(Handle event) { note("wait for %#lx", event); return 0; }
Result cuStreamWaitEvent(Handle stream, Handle event, unsigned flags) {
    note("let %#lx wait for %#lx", stream, event);
    return 0;
}

Result cuLibraryLoadData(Handle *library, const void *code, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    *library = last += 16;
    return failed("load");
}
Result cuLibraryGetKernel(Handle *kernel, Handle library, const char *name) { *kernel = last += 16; return 0; }
Result cuLibraryGetModule(Handle *module, Handle library) { *module = last += 16; return 0; }

struct Launch { unsigned grid[3], block[3], shared; Handle stream; };
Result cuLaunchKernelEx(const struct Launch *launch, Handle kernel, void **parameters, void **extra) {
    note("launch by %#lx", launch->stream);
    return failed("launch");
}

Result cuGetErrorName(int code, const char **name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_ILLEGAL_ADDRESS";
    return 0;
}
Result cuGetErrorString(int code, const char **text) { *text = "planted"; return 0; }

Result cuInit(unsigned flags) { return 0; }
static Result nothing(void) { return 0; }
Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
    char whole[128];
    void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
    snprintf(whole, sizeof whole, "%s_v2", name);
    *function = dlsym(self, whole);
    if (!*function) *function = dlsym(self, name);
    if (!*function) *function = nothing;
    if (found) *found = 0;
    return 0;
}
