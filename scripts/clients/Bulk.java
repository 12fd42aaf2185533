// Streams content up to an echoing server with Java's HttpClient and back, sized and chunked;
// compares SHA-256. Usage: java Stream.java URL [MIB]

import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.Random;

public class Stream {
    static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /** So many bytes by chance, the same each time. */
    static class Source extends InputStream {
        final Random random = new Random(1);
        long left;

        Source(long len) {
            left = len;
        }

        @Override
        public int read() {
            return left-- > 0 ? random.nextInt(256) : -1;
        }

        @Override
        public int read(byte[] into, int start, int len) {
            if (left == 0) {
                return -1;
            }
            byte[] piece = new byte[(int) Math.min(left, len)];
            random.nextBytes(piece);
            System.arraycopy(piece, 0, into, start, piece.length);
            left -= piece.length;
            return piece.length;
        }
    }

    /** Sends so many bytes and tells whether the same came back. */
    static boolean echo(URI url, long len, boolean isSized) throws Exception {
        MessageDigest sent = MessageDigest.getInstance("SHA-256");
        MessageDigest received = MessageDigest.getInstance("SHA-256");
        InputStream source = new DigestInputStream(new Source(len), sent);
        BodyPublisher body = BodyPublishers.ofInputStream(() -> source);
        if (isSized) {
            body = BodyPublishers.fromPublisher(body, len);
        }
        var answer = CLIENT.send(
                HttpRequest.newBuilder(url).POST(body).build(), BodyHandlers.ofInputStream());
        try (var content = new DigestInputStream(answer.body(), received)) {
            content.transferTo(java.io.OutputStream.nullOutputStream());
        }
        boolean isEqual = MessageDigest.isEqual(sent.digest(), received.digest());
        return answer.statusCode() == 200 && isEqual;
    }

    public static void main(String[] arguments) throws Exception {
        long mib = arguments.length > 1 ? Long.parseLong(arguments[1]) : 8;
        for (boolean isSized : new boolean[] {true, false}) {
            if (!echo(URI.create(arguments[0]), mib << 20, isSized)) {
                System.err.println("sized " + isSized + ": what came back is not what was sent");
                System.exit(1);
            }
        }
        System.out.println(mib + " MiB up and down, sized and chunked: equal");
        System.exit(0);
    }
}
